-- Times before 1970 belong to the window that begins before them; seven minutes do not divide a day.

CREATE VIEW by_seven_minutes AS
SELECT tumble(ts, '7 minutes') AS start, count(*) AS n, min(ts) AS first, max(ts) AS last FROM events GROUP BY start;

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(value) AS total FROM events GROUP BY minute;
