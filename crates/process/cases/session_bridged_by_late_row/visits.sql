/*
late = "0 seconds"
*/
SELECT session(ts, '5 minutes') AS start, who, count(*) AS n, sum(value) AS total, max(ts) AS last FROM events GROUP BY start, who
