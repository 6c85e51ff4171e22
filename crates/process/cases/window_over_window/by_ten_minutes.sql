SELECT tumble(minute, '10 minutes') AS start, who, count(*) AS minutes, sum(n) AS n, max(total) AS most, avg(total) AS mean
FROM by_minute GROUP BY start, who
