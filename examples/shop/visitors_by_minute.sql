/*
description = "How many visitors were on the site, and what they did."
layer = "reporting"
late  = "1 minute"
*/
SELECT tumble(at, '1 minute') AS minute,
       approx_distinct(session) AS visitors,
       count(*) FILTER (WHERE event = 'view') AS views,
       count(*) FILTER (WHERE event = 'add_to_basket') AS baskets
FROM clicks
GROUP BY minute
