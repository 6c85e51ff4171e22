-- Lookups of NDJSON, tabs and semicolons; keys that are of another type than the column they are compared with.

CREATE VIEW named AS
SELECT e.id, c.title, c.weight, l.name, n.name AS other, n.active
FROM events e LEFT JOIN codes c ON CAST(c.code AS VARCHAR) = e.code LEFT JOIN levels l ON l.level = e.level AND l.since <= e.ts
LEFT JOIN names n ON CAST(n.code AS VARCHAR) = e.code;

CREATE VIEW weights AS
SELECT tumble(e.ts, '1 minute') AS minute, sum(c.weight) AS weight, count(*) AS n
FROM events e JOIN codes c ON CAST(c.code AS VARCHAR) = e.code WHERE c.title <> 'two' GROUP BY minute;
