SELECT o.id, p.price FROM orders o JOIN prices p ON p.sku = o.sku AND o.ts > p.valid_to
