SELECT tumble(ts, '1 minute') AS minute, approx_distinct(who) AS people, approx_median(value) AS middle, approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS half,
       approx_percentile_cont(0) WITHIN GROUP (ORDER BY value) AS least, approx_percentile_cont(1) WITHIN GROUP (ORDER BY value) AS most
FROM events GROUP BY minute
