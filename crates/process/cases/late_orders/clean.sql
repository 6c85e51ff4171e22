SELECT id, ts, upper(region) AS region, total FROM orders WHERE region IS NOT NULL
