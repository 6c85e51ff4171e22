/*
description = "Orders that passed the checks, with the product's name and category."
partition   = "day(ts)"
keep        = "5 years"
*/
SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.product_id, o.quantity, o.total,
       p.name AS product_name, p.category
FROM orders o LEFT JOIN products p ON p.product_id = o.product_id
