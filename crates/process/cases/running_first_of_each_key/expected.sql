-- The first few of each key by three kinds of rank; a place in the middle needs those before it.

CREATE VIEW three AS
SELECT who, id, value, place FROM (SELECT who, id, value, row_number() OVER (PARTITION BY who ORDER BY value DESC NULLS LAST, id) AS place FROM events) x WHERE place <= 3;

CREATE VIEW second AS
SELECT who, id FROM (SELECT who, id, rank() OVER (PARTITION BY who ORDER BY ts, id) AS place FROM events WHERE value > 0) x WHERE place = 2;

CREATE VIEW kinds AS
SELECT who, value FROM (SELECT who, value, dense_rank() OVER (PARTITION BY who ORDER BY value) AS place FROM events WHERE value IS NOT NULL) x WHERE place < 3;
