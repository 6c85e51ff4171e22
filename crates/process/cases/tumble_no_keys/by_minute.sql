SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(value) AS total, avg(value) AS mean FROM events GROUP BY minute
