SELECT o.id, p.price FROM orders o JOIN prices p ON p.sku = o.sku WHERE p.since <= o.ts AND p.valid_to > o.ts
