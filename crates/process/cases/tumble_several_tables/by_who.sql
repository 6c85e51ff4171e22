SELECT tumble(ts, '1 minute') AS start, who, count(*) AS n FROM events GROUP BY start, who
