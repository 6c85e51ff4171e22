SELECT tumble(minute, '1 hour') AS hour, sum(n) AS n FROM by_minute GROUP BY hour
