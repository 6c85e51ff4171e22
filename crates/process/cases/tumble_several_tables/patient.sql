/*
late = "1 hour"
*/
SELECT tumble(ts, '10 seconds') AS start, count(*) AS n, sum(value) AS total FROM events GROUP BY start
