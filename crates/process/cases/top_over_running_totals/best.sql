SELECT who, total, row_number() OVER (ORDER BY total DESC, who) AS place FROM totals ORDER BY total DESC, who LIMIT 3
