-- Every minute between the first and the last has a row, 0 where nothing came; the last moves on with each batch.

CREATE VIEW minutes AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(value) AS total FROM events GROUP BY minute;

CREATE VIEW filled AS
SELECT s.minute, coalesce(m.n, 0) AS n, coalesce(m.total, 0) AS total
FROM (SELECT unnest(generate_series(min(minute), max(minute), INTERVAL '1 minute')) AS minute FROM minutes) s
LEFT JOIN minutes m ON m.minute = s.minute;
