/*
late = "5 seconds"
*/
SELECT tumble(ts, '10 seconds') AS moment, host, avg(bytes_in) AS received, avg(bytes_out) AS sent
FROM measurements
WHERE kind = 'network' AND name <> 'lo'
GROUP BY moment, host
