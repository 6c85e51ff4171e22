-- Moving means by time and by rows while rows come late, some after what they change was final.

CREATE VIEW means AS
SELECT id, who, avg(value) OVER (PARTITION BY who ORDER BY ts RANGE BETWEEN INTERVAL '1 minute' PRECEDING AND CURRENT ROW) AS mean, count(*) OVER (PARTITION BY who ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND INTERVAL '10 seconds' FOLLOWING) AS near FROM events;

CREATE VIEW steps AS
SELECT id, who, value - lag(value) OVER (PARTITION BY who ORDER BY ts, id) AS change, sum(value) OVER (PARTITION BY who ORDER BY ts, id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS three FROM events;

CREATE VIEW jumps AS
SELECT id, before FROM (SELECT id, value, lag(value) OVER (ORDER BY ts, id) AS before FROM events WHERE value IS NOT NULL) x WHERE value > before + 10;
