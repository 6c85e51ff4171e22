/*
description = "The ten products that sold best in the newest five minutes."
layer = "kpi"
*/
SELECT product_id, product_name, sum(quantity) AS quantity, sum(revenue) AS revenue
FROM products_by_minute
WHERE minute > (SELECT max(minute) FROM products_by_minute) - INTERVAL '5 minutes'
GROUP BY product_id, product_name
ORDER BY quantity DESC, product_id
LIMIT 10
