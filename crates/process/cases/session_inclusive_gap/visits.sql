SELECT session(ts, '1 minute') AS start, who, count(*) AS n, sum(value) AS total, max(ts) AS last FROM events GROUP BY start, who
