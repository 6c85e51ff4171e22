SELECT c.minute, c.sku, c.quantity, p.price
FROM counted c LEFT JOIN prices p ON p.sku = c.sku AND c.minute >= p.since AND c.minute < p.until
