-- Keys of every type at once, each also NULL; a decimal key is the same written as 1, 1.0 and "1.00".

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, value, amount, flag, day, seen, count(*) AS n FROM events
GROUP BY minute, value, amount, flag, day, seen;
