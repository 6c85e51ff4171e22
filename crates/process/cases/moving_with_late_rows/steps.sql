/*
late = "0 seconds"
*/
SELECT id, who, value - lag(value) OVER (PARTITION BY who ORDER BY ts, id) AS change, sum(value) OVER (PARTITION BY who ORDER BY ts, id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS three FROM events
