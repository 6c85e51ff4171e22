SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(value) AS total FROM events GROUP BY minute
