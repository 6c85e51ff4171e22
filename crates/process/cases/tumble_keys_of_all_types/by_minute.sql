SELECT tumble(ts, '1 minute') AS minute, value, amount, flag, day, seen, count(*) AS n FROM events
GROUP BY minute, value, amount, flag, day, seen
