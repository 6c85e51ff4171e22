SELECT tumble(ts, '7 minutes') AS start, count(*) AS n, min(ts) AS first, max(ts) AS last FROM events GROUP BY start
