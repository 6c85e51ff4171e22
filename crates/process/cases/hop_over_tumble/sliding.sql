SELECT hop(minute, '1 minute', '3 minutes') AS start, who, sum(total) AS total, count(*) AS minutes FROM minutes GROUP BY start, who
