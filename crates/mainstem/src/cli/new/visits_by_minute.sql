/*
late = "1 minute"
*/
SELECT tumble(ts, '1 minute') AS minute, page, count(*) AS visits, max(ms) AS slowest
FROM visits
GROUP BY minute, page
