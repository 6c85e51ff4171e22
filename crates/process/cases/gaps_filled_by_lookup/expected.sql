-- A lookup of the kinds there can be: each minute has a row for each kind, 0 where none came.

CREATE VIEW minutes AS
SELECT tumble(ts, '1 minute') AS minute, kind, count(*) AS n FROM events GROUP BY minute, kind;

CREATE VIEW filled AS
SELECT m.minute, k.kind, coalesce(c.n, 0) AS n FROM (SELECT DISTINCT minute FROM minutes) m CROSS JOIN kinds k
LEFT JOIN minutes c ON c.minute = m.minute AND c.kind = k.kind;
