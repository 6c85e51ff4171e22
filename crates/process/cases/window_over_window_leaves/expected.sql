-- A group that leaves the lower table by its HAVING leaves the sums of the upper one, and comes back.

CREATE VIEW busy_minutes AS
SELECT tumble(ts, '1 minute') AS minute, who, sum(value) AS total FROM events GROUP BY minute, who HAVING sum(value) > 9;

CREATE VIEW busy_hours AS
SELECT tumble(minute, '1 hour') AS hour, count(*) AS minutes, sum(total) AS total, count(DISTINCT who) AS people FROM busy_minutes GROUP BY hour;
