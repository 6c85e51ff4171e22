SELECT approx_distinct(who) AS people, approx_percentile_cont(0) WITHIN GROUP (ORDER BY value) AS least,
       approx_percentile_cont(1) WITHIN GROUP (ORDER BY value) AS most
FROM events
