SELECT id, ts + INTERVAL '30 seconds' AS moved, lower(who) AS person, value * 2 AS twice FROM events WHERE who <> 'x'
