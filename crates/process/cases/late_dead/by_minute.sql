/*
late = "dead"
*/
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total FROM events GROUP BY minute, who
