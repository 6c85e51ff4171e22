/*
description = "How often each product was put into a basket."
layer = "reporting"
late  = "1 minute"
*/
SELECT tumble(c.at, '1 minute') AS minute, c.product AS product_id, p.name AS product_name, count(*) AS wanted
FROM clicks c LEFT JOIN products p ON p.product_id = c.product
WHERE c.event = 'add_to_basket' AND c.product IS NOT NULL
GROUP BY minute, c.product, p.name
