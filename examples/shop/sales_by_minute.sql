/*
description = "Orders and revenue of each minute, region and category."
layer = "reporting"
late  = "10 minutes"
columns.revenue = "What was paid with taxes."
*/
SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, sum(total) AS revenue
FROM orders_clean
GROUP BY minute, region, category
