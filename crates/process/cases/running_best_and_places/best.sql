SELECT who, sum(value) AS total, count(*) AS n FROM events GROUP BY who ORDER BY total DESC NULLS LAST, who LIMIT 2
