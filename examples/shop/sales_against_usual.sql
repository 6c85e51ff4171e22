/*
description = "Each minute's revenue beside the average of the hour before it."
layer = "reporting"
*/
SELECT minute, region, sum(revenue) AS revenue,
       avg(sum(revenue)) OVER (PARTITION BY region ORDER BY minute ROWS BETWEEN 60 PRECEDING AND 1 PRECEDING) AS usual
FROM sales_by_minute
GROUP BY minute, region
