/*
layer = "reporting"
late  = "10 seconds"
*/
SELECT tumble(ts, '1 minute') AS minute, host, kind, name, avg(percent) AS percent, max(used) AS used, max(total) AS total
FROM measurements
WHERE kind IN ('cpu', 'memory', 'disk')
GROUP BY minute, host, kind, name
