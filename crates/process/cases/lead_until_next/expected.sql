-- How long each state lasted: until the next row of its key, or still.

CREATE VIEW spans AS
SELECT who, state, ts AS since, lead(ts) OVER (PARTITION BY who ORDER BY ts, id) AS until,
       lead(state) OVER (PARTITION BY who ORDER BY ts, id) IS NULL AS lasts
FROM events;

CREATE VIEW by_state AS
SELECT state, count(*) AS n, count(until) AS ended, max(until) AS newest FROM spans GROUP BY state;
