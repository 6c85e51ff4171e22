/*
description = "Each customer's orders, the latest hundred by key."
serve = { key = "customer_id", sort = "ts", latest = 100 }
*/
SELECT o.customer_id, o.ts, o.order_id, o.product_id, p.name AS product, o.quantity, o.total
FROM orders o LEFT JOIN products p ON p.product_id = o.product_id
