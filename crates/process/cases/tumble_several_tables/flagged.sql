SELECT tumble(ts, '1 minute') AS start, count(*) AS n FROM events WHERE flag GROUP BY start
