-- Of an odd number of values the middle one is exact, however often the state was stored and read again.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(DISTINCT who) AS people, quantile_disc(value, 0.5) AS middle, quantile_disc(value, 0.5) AS half, min(value) AS least, max(value) AS most FROM events GROUP BY minute;

CREATE VIEW overall AS SELECT count(DISTINCT who) AS people, min(value) AS least, max(value) AS most FROM events;

CREATE VIEW by_who AS SELECT who, quantile_disc(value, 0.5) AS middle, count(DISTINCT value) AS kinds FROM events GROUP BY who;
