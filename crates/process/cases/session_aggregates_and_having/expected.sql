-- Distinct pages, averages, first and last page, FILTER; visits of one page do not pass HAVING until a second comes.

CREATE VIEW visits AS
WITH steps AS (
    SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY who ORDER BY ts) <= INTERVAL '30 minutes' THEN 0 ELSE 1 END AS is_first
    FROM events WHERE who IS NOT NULL),
numbered AS (SELECT *, sum(is_first) OVER (PARTITION BY who ORDER BY ts RANGE UNBOUNDED PRECEDING) AS number FROM steps)
SELECT min(ts) AS start, who, count(*) AS n, count(DISTINCT place) AS places, avg(ratio) AS mean, min(place) AS least,
       arg_min(place, ts) AS entry, arg_max(place, ts) AS exit, count(*) FILTER (WHERE flag) AS flagged FROM numbered GROUP BY who, number HAVING count(*) > 1;
