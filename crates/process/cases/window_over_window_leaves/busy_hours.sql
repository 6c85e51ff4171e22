SELECT tumble(minute, '1 hour') AS hour, count(*) AS minutes, sum(total) AS total, count(DISTINCT who) AS people FROM busy_minutes GROUP BY hour
