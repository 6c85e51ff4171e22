/*
late = "0 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, sum(value) AS total FROM events GROUP BY minute HAVING sum(value) > 5
