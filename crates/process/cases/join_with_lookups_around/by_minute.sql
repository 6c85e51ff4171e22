SELECT tumble(ts, '1 minute') AS minute, class, name, count(*) AS n, sum(amount) AS total FROM paid GROUP BY minute, class, name
