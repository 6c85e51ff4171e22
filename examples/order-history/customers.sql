/*
description = "What each customer spent in all."
serve = "customer_id"
*/
SELECT customer_id, count(*) AS orders, sum(total) AS spent, max(ts) AS last_order
FROM orders
GROUP BY customer_id
