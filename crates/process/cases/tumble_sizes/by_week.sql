SELECT tumble(ts, '7 days') AS start, count(*) AS n FROM events GROUP BY start
