SELECT tumble(ts, '250 ms') AS start, count(*) AS n FROM events GROUP BY start
