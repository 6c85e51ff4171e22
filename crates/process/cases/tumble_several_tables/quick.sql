/*
late = "0 seconds"
*/
SELECT tumble(ts, '10 seconds') AS start, count(*) AS n, sum(value) AS total FROM events GROUP BY start
