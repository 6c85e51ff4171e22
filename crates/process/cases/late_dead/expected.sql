-- Rows whose minute is over are dead letters, of no matter which key; on its end, a minute is over, a microsecond before
-- it is not.

-- A row is late if its minute ended before the newest time of an earlier batch; the batches are such
-- that each holds time back, or moves it on, in every shard alike.
CREATE VIEW judged AS
SELECT e.*, coalesce(tumble(e.ts, '1 minute') + INTERVAL '1 minute'
    <= (SELECT max(b.ts) FROM events b WHERE b._batch < e._batch), false) AS is_late
FROM events e;

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total FROM judged WHERE NOT is_late GROUP BY minute, who;
CREATE VIEW by_minute__dead AS SELECT 'late' AS kind, 'dead' AS state FROM judged WHERE is_late;
