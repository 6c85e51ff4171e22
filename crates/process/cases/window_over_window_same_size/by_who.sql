SELECT tumble(ts, '1 minute') AS minute, who, place, sum(value) AS total FROM events GROUP BY minute, who, place
