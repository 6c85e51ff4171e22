-- Visits grow at both ends and from the middle, within one batch and over several.

CREATE VIEW visits AS
WITH steps AS (
    SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY who ORDER BY ts) <= INTERVAL '2 minutes' THEN 0 ELSE 1 END AS is_first
    FROM events),
numbered AS (SELECT *, sum(is_first) OVER (PARTITION BY who ORDER BY ts RANGE UNBOUNDED PRECEDING) AS number FROM steps)
SELECT min(ts) AS start, who, count(*) AS n, sum(value) AS total, max(ts) AS last FROM numbered GROUP BY who, number;
