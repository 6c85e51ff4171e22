/*
late = "0 seconds"
*/
SELECT hop(ts, '5 minutes', '10 minutes') AS start, count(*) AS n, sum(value) AS total, count(DISTINCT who) AS people
FROM events GROUP BY start
