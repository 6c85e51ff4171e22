/*
late = "5 minutes"
*/
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total, min(value) AS least, max(value) AS most
FROM events GROUP BY minute, who
