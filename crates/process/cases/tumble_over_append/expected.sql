-- A table of rows between the stream and the windows: renamed columns, a filter, an expression on the time itself.

CREATE VIEW clean AS
SELECT id, ts + INTERVAL '30 seconds' AS moved, lower(who) AS person, value * 2 AS twice FROM events WHERE who <> 'x';

CREATE VIEW by_minute AS
SELECT tumble(moved, '1 minute') AS minute, person, sum(twice) AS total FROM clean GROUP BY minute, person;
