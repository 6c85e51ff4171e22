/*
late = "1 hour"
*/
SELECT session(ts, '2 minutes') AS start, who, count(*) AS n, sum(value) AS total, max(ts) AS last FROM events GROUP BY start, who
