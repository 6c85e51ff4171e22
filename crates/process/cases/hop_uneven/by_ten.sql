SELECT hop(ts, '3 minutes', '10 minutes') AS start, count(*) AS n, min(ts) AS first, max(ts) AS last FROM events GROUP BY start
