-- The newest state of each key, by event time: an old row that comes late changes nothing, a tie goes to the greater id.

CREATE VIEW newest AS
SELECT who, state, ts FROM (
    SELECT who, state, ts, row_number() OVER (PARTITION BY who ORDER BY ts DESC, id DESC) AS place FROM events
) x WHERE place = 1;

CREATE VIEW by_state AS
SELECT state, count(*) AS n FROM newest GROUP BY state;
