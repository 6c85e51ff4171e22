SELECT tumble(ts, '1 minute') AS minute, kind, count(*) AS n FROM events GROUP BY minute, kind
