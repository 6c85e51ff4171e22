-- Stream, rows, minutes, hours, the best of the hours: each table reads the one before, and a late row goes through all of
-- them.

CREATE VIEW clean AS
SELECT ts, upper(place) AS place, amount FROM events WHERE amount IS NOT NULL;

CREATE VIEW minutes AS
SELECT tumble(ts, '1 minute') AS minute, place, sum(amount) AS total, count(*) AS n FROM clean GROUP BY minute, place;

CREATE VIEW hours AS
SELECT tumble(minute, '1 hour') AS hour, place, sum(total) AS total, max(n) AS most FROM minutes GROUP BY hour, place;

CREATE VIEW best AS
SELECT hour, place, total FROM (SELECT hour, place, total, row_number() OVER (PARTITION BY hour ORDER BY total DESC, place) AS rank FROM hours) r WHERE rank <= 2;
