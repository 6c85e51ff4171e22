/*
description = "What each source says, in one shape: a campaign is told by its letters and digits, however a source writes it."
layer       = "reporting"
*/
SELECT posted_at AS at, regexp_replace(lower(campaign), '[^a-z0-9]', '', 'g') AS campaign, network AS channel,
       views, clicks, CAST(0 AS decimal(12,2)) AS cost, CAST(0 AS decimal(12,2)) AS revenue, CAST(NULL AS text) AS customer
FROM posts
UNION ALL
SELECT hour, regexp_replace(lower(campaign), '[^a-z0-9]', '', 'g'), platform, views, clicks, cost, CAST(0 AS decimal(12,2)), CAST(NULL AS text)
FROM ads
UNION ALL
SELECT closed_at, coalesce(regexp_replace(lower(source), '[^a-z0-9]', '', 'g'), 'unknown'), 'crm', 0, 0, CAST(0 AS decimal(12,2)), amount, customer
FROM deals
