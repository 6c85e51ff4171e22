/*
late = "0 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, who, sum(amount) AS total FROM orders GROUP BY minute, who
