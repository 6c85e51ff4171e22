-- A row without a time belongs to no window and is told in the dead letters; the totals beside count it.

CREATE VIEW by_minute AS SELECT tumble(seen, '1 minute') AS minute, count(*) AS n FROM events WHERE seen IS NOT NULL GROUP BY minute;
CREATE VIEW totals AS SELECT count(*) AS n, count(seen) AS timed FROM events;
CREATE VIEW by_minute__dead AS SELECT 'compute' AS kind, 'dead' AS state FROM events WHERE seen IS NULL;
