-- A division by zero and a text that is no number cost their rows only, in a table of rows, in windows, in totals and in the first of all.

CREATE VIEW shares AS SELECT id, 100 // value AS share FROM events WHERE value IS DISTINCT FROM 0;
CREATE VIEW shares__dead AS SELECT 'compute' AS kind, 'dead' AS state FROM events WHERE value = 0;
CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, sum(TRY_CAST(text AS INT)) AS total
FROM events WHERE text IS NULL OR TRY_CAST(text AS INT) IS NOT NULL GROUP BY minute;
CREATE VIEW by_minute__dead AS
SELECT 'compute' AS kind, 'dead' AS state FROM events WHERE text IS NOT NULL AND TRY_CAST(text AS INT) IS NULL;
CREATE VIEW totals AS SELECT count(*) AS n, sum(100 // value) AS total FROM events WHERE value IS DISTINCT FROM 0;
CREATE VIEW totals__dead AS SELECT 'compute' AS kind, 'dead' AS state FROM events WHERE value = 0;
CREATE VIEW first_three AS
SELECT id, 100 // value AS share, place FROM (
    SELECT id, value, row_number() OVER (ORDER BY id DESC) AS place FROM events WHERE value IS DISTINCT FROM 0
) x WHERE place <= 3;
CREATE VIEW first_three__dead AS SELECT 'compute' AS kind, 'dead' AS state FROM events WHERE value = 0;
CREATE VIEW largest_share AS
SELECT id, value FROM (
    SELECT id, value, row_number() OVER (ORDER BY 100 // value DESC NULLS LAST) AS place
    FROM events WHERE value IS DISTINCT FROM 0
) x WHERE place <= 2;
CREATE VIEW largest_share__dead AS SELECT 'compute' AS kind, 'dead' AS state FROM events WHERE value = 0;
