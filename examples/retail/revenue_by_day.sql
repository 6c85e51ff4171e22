/*
layer = "reporting"
late  = "1 day"
*/
SELECT tumble(sold_at, '1 day') AS day, country, count(*) AS lines, sum(revenue) AS revenue
FROM lines
GROUP BY day, country
