-- The same question by the next row: a machine that went down and was not up within ten minutes.

CREATE VIEW down AS
SELECT host, ts AS since FROM (
    SELECT host, ts, state, lead(ts) OVER (PARTITION BY host ORDER BY ts, id) AS next_ts, max(ts) OVER () AS now FROM events
) x WHERE state = 'down' AND coalesce(next_ts, now) > ts + INTERVAL '10 minutes';
