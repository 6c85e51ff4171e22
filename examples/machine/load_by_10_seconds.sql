/*
late = "5 seconds"
*/
SELECT tumble(ts, '10 seconds') AS moment, host,
       avg(percent) FILTER (WHERE kind = 'cpu' AND name = 'total') AS processor,
       avg(percent) FILTER (WHERE kind = 'memory' AND name = 'ram') AS memory
FROM measurements
WHERE kind IN ('cpu', 'memory')
GROUP BY moment, host
