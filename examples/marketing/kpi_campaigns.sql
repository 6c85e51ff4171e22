/*
description = "What each campaign has brought and cost so far."
layer       = "kpi"
*/
SELECT t.campaign, c.owner, c.budget, sum(t.views) AS views, sum(t.clicks) AS clicks, sum(t.cost) AS cost, sum(t.revenue) AS revenue,
       count(t.customer) AS deals, sum(t.revenue) / nullif(sum(t.cost), 0) AS revenue_for_cost
FROM touches t
LEFT JOIN campaigns c ON c.campaign = t.campaign
GROUP BY t.campaign, c.owner, c.budget
