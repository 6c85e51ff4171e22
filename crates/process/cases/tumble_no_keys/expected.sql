-- Only the window is grouped by: minutes without rows have no row, and a window filled by four batches is one.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(value) AS total, avg(value) AS mean FROM events GROUP BY minute;
