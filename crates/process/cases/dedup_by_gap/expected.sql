-- A row counts unless one with its key came within the ten minutes before it, whether that one counted or not.

CREATE VIEW fresh AS
SELECT id, who FROM (SELECT id, who, ts, lag(ts) OVER (PARTITION BY who ORDER BY ts, id) AS before FROM events) x
WHERE before IS NULL OR ts > before + INTERVAL '10 minutes';
