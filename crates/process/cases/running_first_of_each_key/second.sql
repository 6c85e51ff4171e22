SELECT who, id FROM (SELECT who, id, rank() OVER (PARTITION BY who ORDER BY ts, id) AS place FROM events WHERE value > 0) x WHERE place = 2
