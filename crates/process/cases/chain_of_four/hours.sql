SELECT tumble(minute, '1 hour') AS hour, place, sum(total) AS total, max(n) AS most FROM minutes GROUP BY hour, place
