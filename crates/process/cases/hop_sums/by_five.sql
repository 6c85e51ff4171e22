SELECT hop(ts, '1 minute', '5 minutes') AS start, who, count(*) AS n, sum(value) AS total FROM events GROUP BY start, who
