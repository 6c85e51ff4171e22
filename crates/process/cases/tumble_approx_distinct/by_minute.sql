SELECT tumble(ts, '1 minute') AS minute, approx_distinct(who) AS people, approx_distinct(value) AS kinds FROM events GROUP BY minute
