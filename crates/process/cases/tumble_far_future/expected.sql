-- One row of the year 2999 makes every window before it final; all that follows is late and still counts.

CREATE VIEW by_day AS
SELECT tumble(ts, '1 day') AS day, who, count(*) AS n, sum(value) AS total FROM events GROUP BY day, who;
