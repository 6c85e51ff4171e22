-- Nothing passes WHERE, so the table has no rows, nor has the one above it; a total without rows is one row of 0.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events WHERE value > 1000 GROUP BY minute;

CREATE VIEW by_hour AS
SELECT tumble(minute, '1 hour') AS hour, sum(n) AS n FROM by_minute GROUP BY hour;

CREATE VIEW never AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events WHERE false GROUP BY minute;

CREATE VIEW never_shown AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events GROUP BY minute HAVING 'a' = 'b';

CREATE VIEW never_at_all AS
SELECT count(*) AS n, max(value) AS most FROM events WHERE 1 = 2;

CREATE VIEW all_of_them AS
SELECT count(*) AS n, sum(value) AS total FROM events WHERE value > 1000;
