SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM prices p WHERE p.sku = o.sku AND o.ts >= p.since AND o.ts < p.valid_to)
