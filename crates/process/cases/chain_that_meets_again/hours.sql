SELECT tumble(ts, '1 hour') AS hour, who, sum(value) AS total FROM events GROUP BY hour, who
