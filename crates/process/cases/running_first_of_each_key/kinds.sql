SELECT who, value FROM (SELECT who, value, dense_rank() OVER (PARTITION BY who ORDER BY value) AS place FROM events WHERE value IS NOT NULL) x WHERE place < 3
