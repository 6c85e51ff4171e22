SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events GROUP BY minute HAVING 'a' = 'b'
