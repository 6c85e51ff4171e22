/*
late = "0 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total, avg(value) AS mean, count(DISTINCT value) AS kinds
FROM events GROUP BY minute, who
