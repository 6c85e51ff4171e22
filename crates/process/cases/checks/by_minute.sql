SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(amount) AS total FROM events GROUP BY minute
