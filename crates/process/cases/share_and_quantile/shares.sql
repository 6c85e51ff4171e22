SELECT who, total, round(CAST(total AS FLOAT) / CAST(sum(total) OVER () AS FLOAT), 6) AS share, ntile(2) OVER (ORDER BY total, who) AS half,
       max(total) OVER () - total AS behind, first_value(who) OVER (ORDER BY total DESC, who) AS leader
FROM totals WHERE total > 0
