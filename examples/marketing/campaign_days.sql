/*
layer = "reporting"
late  = "30 days"
*/
SELECT tumble(at, '1 day') AS day, campaign, sum(views) AS views, sum(clicks) AS clicks, sum(cost) AS cost, sum(revenue) AS revenue
FROM touches
GROUP BY day, campaign
