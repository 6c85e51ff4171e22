SELECT who, state, ts AS since, lead(ts) OVER (PARTITION BY who ORDER BY ts, id) AS until,
       lead(state) OVER (PARTITION BY who ORDER BY ts, id) IS NULL AS lasts
FROM events
