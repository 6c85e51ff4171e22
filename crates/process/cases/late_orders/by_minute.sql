/*
late = "30 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, region, count(*) AS orders, sum(total) AS revenue
FROM clean GROUP BY minute, region
