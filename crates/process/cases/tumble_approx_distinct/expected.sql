-- A handful of values is counted exactly; NULL is no value.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(DISTINCT who) AS people, count(DISTINCT value) AS kinds FROM events GROUP BY minute;
