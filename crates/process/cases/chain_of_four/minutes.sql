/*
late = "0 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, place, sum(amount) AS total, count(*) AS n FROM clean GROUP BY minute, place
