/*
description = "How late each carrier arrives, and how often it does not fly."
layer       = "kpi"
*/
SELECT f.carrier, c.name, count(*) AS flights, count(*) FILTER (WHERE f.dep_delay IS NULL) AS cancelled,
       avg(f.arr_delay) AS mean_delay, count(*) FILTER (WHERE 60 < f.arr_delay) AS an_hour_late
FROM flights f
LEFT JOIN carriers c ON c.carrier = f.carrier
GROUP BY f.carrier, c.name
