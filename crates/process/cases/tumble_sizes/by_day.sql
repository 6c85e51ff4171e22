SELECT tumble(ts, '1 day') AS start, count(*) AS n FROM events GROUP BY start
