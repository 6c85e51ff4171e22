-- Tables of rows only: filters with NULLs, a table over a table, columns in another order, a literal, places of the
-- record.

CREATE VIEW large AS
SELECT value AS v, who, id, 'x' AS mark FROM events WHERE value > 5 OR who IS NULL;

CREATE VIEW larger AS
SELECT id, v * 2 AS v FROM large WHERE v BETWEEN 6 AND 8 OR v IS NULL;

CREATE VIEW neither AS
SELECT id FROM events WHERE value > 5 AND value < 5;
