SELECT tumble(ts, '1 hour 30 minutes') AS start, count(*) AS n FROM events GROUP BY start
