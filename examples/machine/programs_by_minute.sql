/*
late = "10 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, host, name AS program, sum(percent) / 60 AS percent, max(used) AS memory
FROM measurements
WHERE kind = 'process'
GROUP BY minute, host, name
