-- The sum of the five minutes before each row, by RANGE: rows of the same moment see each other, the edge is inside.

CREATE VIEW sums AS
SELECT id, who, sum(value) OVER (PARTITION BY who ORDER BY ts RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND CURRENT ROW) AS total,
       count(*) OVER (PARTITION BY who ORDER BY ts RANGE BETWEEN INTERVAL '5 minutes' PRECEDING AND CURRENT ROW) AS n
FROM events;
