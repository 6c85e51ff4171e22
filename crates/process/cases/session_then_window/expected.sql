-- Visits are counted by the hour in which they begin; a late row that joins two makes one fewer.

CREATE VIEW visits AS
WITH steps AS (
    SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY who ORDER BY ts) <= INTERVAL '10 minutes' THEN 0 ELSE 1 END AS is_first
    FROM events),
numbered AS (SELECT *, sum(is_first) OVER (PARTITION BY who ORDER BY ts RANGE UNBOUNDED PRECEDING) AS number FROM steps)
SELECT min(ts) AS start, who, count(*) AS n FROM numbered GROUP BY who, number;

CREATE VIEW by_hour AS
SELECT tumble(start, '1 hour') AS hour, count(*) AS visits, sum(n) AS n, max(n) AS longest FROM visits GROUP BY hour;
