SELECT o.id, o.sku, p.price, o.quantity * p.price AS amount
FROM orders o LEFT JOIN prices p ON p.sku = o.sku AND o.ts >= p.since AND o.ts < p.valid_to
