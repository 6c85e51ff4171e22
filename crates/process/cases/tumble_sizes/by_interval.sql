SELECT tumble(ts, INTERVAL '90 minutes') AS start, count(*) AS n FROM events GROUP BY start
