-- A table that is recomputed by a schedule, over rows, windows and totals at once.

CREATE VIEW minutes AS
SELECT tumble(ts, '1 minute') AS minute, sum(value) AS total FROM events GROUP BY minute;

CREATE VIEW totals AS
SELECT who, sum(value) AS total FROM events GROUP BY who;

CREATE VIEW facts AS
SELECT 'rows' AS what, count(*) AS n FROM events UNION ALL SELECT 'minutes', count(*) FROM minutes
UNION ALL SELECT 'people', count(*) FROM totals UNION ALL SELECT 'most', max(total) FROM totals;
