-- One table drops what is late, one corrects itself, one totals: each sees its own truth of the same rows.

-- A row is late if its minute ended before the newest time of an earlier batch; the batches are such
-- that each holds time back, or moves it on, in every shard alike.
CREATE VIEW judged AS
SELECT e.*, coalesce(tumble(e.ts, '1 minute') + INTERVAL '1 minute'
    <= (SELECT max(b.ts) FROM events b WHERE b._batch < e._batch), false) AS is_late
FROM events e;

CREATE VIEW strict AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM judged WHERE who <> 'beat' AND NOT is_late GROUP BY minute;
CREATE VIEW mild AS SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events GROUP BY minute;
CREATE VIEW totals AS SELECT who, count(*) AS n FROM events GROUP BY who;
CREATE VIEW lost AS SELECT 'late' AS kind, count(*) AS n FROM judged WHERE who <> 'beat' AND is_late;
