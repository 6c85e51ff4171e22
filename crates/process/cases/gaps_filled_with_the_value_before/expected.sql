-- Where a key has no row it keeps the value that it had last, and NULL before its first.

CREATE VIEW filled AS
WITH hours AS (SELECT tumble(ts, '1 hour') AS hour, who, arg_max(value, ts) AS value FROM events GROUP BY hour, who)
SELECT h.hour, w.who, v.value, last_value(v.value IGNORE NULLS) OVER (PARTITION BY w.who ORDER BY h.hour) AS newest
FROM (SELECT DISTINCT hour FROM hours) h CROSS JOIN (SELECT DISTINCT who FROM hours) w
LEFT JOIN hours v ON v.hour = h.hour AND v.who = w.who;
