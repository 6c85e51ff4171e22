/*
description = "Running totals of the whole shop."
layer = "kpi"
*/
SELECT count(*) AS orders, sum(total) AS revenue, approx_distinct(customer_id) AS customers
FROM orders_clean
