SELECT tumble(ts, '1 minute') AS minute, place, sum(value) AS total FROM events GROUP BY minute, place
