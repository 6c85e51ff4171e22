SELECT hop(ts, '20 minutes', '1 hour') AS start, count(*) AS n, sum(value) AS total FROM events GROUP BY start
