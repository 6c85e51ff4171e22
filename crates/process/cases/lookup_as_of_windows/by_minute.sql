SELECT tumble(o.ts, '1 minute') AS minute, o.sku, sum(o.quantity * p.price) AS amount, count(p.price) AS priced, count(*) AS orders
FROM orders o LEFT JOIN prices p ON p.sku = o.sku AND o.ts >= p.since AND o.ts < p.until
GROUP BY minute, o.sku
