SELECT tumble(ts, '1 day') AS day, who, count(*) AS n, sum(value) AS total FROM events GROUP BY day, who
