SELECT tumble(ts, '1 minute') AS minute, sum(CAST(text AS INT)) AS total FROM events GROUP BY minute
