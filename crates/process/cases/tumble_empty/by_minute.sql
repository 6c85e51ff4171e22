SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events WHERE value > 1000 GROUP BY minute
