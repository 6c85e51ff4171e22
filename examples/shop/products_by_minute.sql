/*
description = "What was sold of each product in each minute."
layer = "reporting"
late  = "10 minutes"
*/
SELECT tumble(ts, '1 minute') AS minute, product_id, product_name, sum(quantity) AS quantity, sum(total) AS revenue
FROM orders_clean
GROUP BY minute, product_id, product_name
