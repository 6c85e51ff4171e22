SELECT tumble(ts, '1 hour') AS hour, who, last_value(value ORDER BY ts) AS value FROM events GROUP BY hour, who
