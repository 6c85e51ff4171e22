/*
layer = "kpi"
*/
SELECT country, count(*) AS lines, count(*) FILTER (WHERE cancelled) AS cancellations, sum(revenue) AS revenue
FROM lines
GROUP BY country
