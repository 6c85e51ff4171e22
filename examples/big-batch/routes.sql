/*
description = "What each route was flown, and how fast."
layer       = "reporting"
*/
SELECT origin, dest, count(*) AS flights, sum(distance) AS miles, avg(distance * 60.0 / air_time) AS mean_mph
FROM flights
WHERE 0 < air_time
GROUP BY origin, dest
