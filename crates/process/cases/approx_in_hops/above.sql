SELECT tumble(start, '3 minutes') AS start3, approx_distinct(people) AS kinds, approx_median(most) AS middle FROM hopping GROUP BY start3 HAVING count(*) = 3
