/*
description = "Running totals of each region."
layer = "kpi"
*/
SELECT region, count(*) AS orders, sum(quantity) AS items, sum(total) AS revenue, max(ts) AS newest_order
FROM orders_clean
GROUP BY region
