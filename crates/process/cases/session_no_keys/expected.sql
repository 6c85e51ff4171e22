-- Only the visit is grouped by: the silence of all.

CREATE VIEW visits AS
WITH steps AS (
    SELECT *, CASE WHEN ts - lag(ts) OVER (ORDER BY ts) <= INTERVAL '10 minutes' THEN 0 ELSE 1 END AS is_first
    FROM events),
numbered AS (SELECT *, sum(is_first) OVER (ORDER BY ts RANGE UNBOUNDED PRECEDING) AS number FROM steps)
SELECT min(ts) AS start, count(*) AS n, sum(value) AS total, max(ts) AS last FROM numbered GROUP BY number;
