/*
description = "The mean density of each plate, hour by hour."
tags        = ["yeast"]
layer       = "reporting"
late        = "30 days"
*/
SELECT tumble(at, '1 hour') AS hour, plate, count(*) AS readings, avg(density) AS density, max(celsius) AS celsius
FROM growth
GROUP BY hour, plate
