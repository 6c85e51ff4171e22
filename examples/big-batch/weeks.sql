/*
description = "Flights and cancellations of each airport, week by week."
layer       = "reporting"
late        = "400 days"
*/
SELECT tumble(time_hour, '7 days') AS week, origin, count(*) AS flights,
       count(*) FILTER (WHERE dep_delay IS NULL) AS cancelled, avg(arr_delay) AS mean_delay
FROM flights
GROUP BY week, origin
