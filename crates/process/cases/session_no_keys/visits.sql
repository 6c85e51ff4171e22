SELECT session(ts, '10 minutes') AS start, count(*) AS n, sum(value) AS total, max(ts) AS last FROM events GROUP BY start
