SELECT tumble(ts, '1 minute') AS minute, sku, sum(quantity) AS quantity FROM orders GROUP BY minute, sku
