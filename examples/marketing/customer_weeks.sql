/*
description = "How many customers bought in each week, and for how much each."
layer       = "kpi"
late        = "30 days"
*/
SELECT tumble(closed_at, '7 days') AS week, count(DISTINCT customer) AS customers, count(*) AS deals, avg(amount) AS mean_amount, sum(amount) AS revenue
FROM deals
GROUP BY week
