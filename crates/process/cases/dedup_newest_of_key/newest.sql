SELECT who, state, ts FROM (
    SELECT who, state, ts, row_number() OVER (PARTITION BY who ORDER BY ts DESC, id DESC) AS place FROM events
) x WHERE place = 1
