SELECT id, ts, code, value FROM (
    SELECT id, ts, code, value, row_number() OVER (PARTITION BY code, tumble(ts, '10 minutes') ORDER BY ts, id) AS place FROM events
) x WHERE place = 1
