-- Days begin at midnight UTC, weeks on a Thursday, ninety minutes at 00:00 and 01:30; 250 ms are a window too; offsets of
-- other zones are no matter.

CREATE VIEW by_day AS SELECT tumble(ts, '1 day') AS start, count(*) AS n FROM events GROUP BY start;
CREATE VIEW by_week AS SELECT tumble(ts, '7 days') AS start, count(*) AS n FROM events GROUP BY start;
CREATE VIEW by_ninety_minutes AS SELECT tumble(ts, '90 minutes') AS start, count(*) AS n FROM events GROUP BY start;
CREATE VIEW by_interval AS SELECT * FROM by_ninety_minutes;
CREATE VIEW by_quarter_second AS SELECT tumble(ts, '250 milliseconds') AS start, count(*) AS n FROM events GROUP BY start;
