SELECT hop(ts, '1 minute', '3 minutes') AS start, approx_distinct(who) AS people,
       approx_percentile_cont(0) WITHIN GROUP (ORDER BY value) AS least, approx_percentile_cont(1) WITHIN GROUP (ORDER BY value) AS most
FROM events GROUP BY start
