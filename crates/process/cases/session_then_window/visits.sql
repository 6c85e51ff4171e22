SELECT session(ts, '10 minutes') AS start, who, count(*) AS n FROM events GROUP BY start, who
