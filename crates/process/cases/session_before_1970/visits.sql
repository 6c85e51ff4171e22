SELECT session(ts, '1 hour') AS start, who, count(*) AS n, sum(value) AS total, max(ts) AS last FROM events GROUP BY start, who
