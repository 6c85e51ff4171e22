SELECT id, who, value - lag(value) OVER (PARTITION BY who ORDER BY ts, id) AS change,
       lag(value, 2, -1) OVER (PARTITION BY who ORDER BY ts, id) AS two_before
FROM events
