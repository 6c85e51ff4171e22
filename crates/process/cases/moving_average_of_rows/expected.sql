-- The average of a row and the two before it, per key, and the sum so far; NULLs are passed over, ties go by id.

CREATE VIEW smooth AS
SELECT id, who, avg(ratio) OVER (PARTITION BY who ORDER BY ts, id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS mean,
       sum(value) OVER (PARTITION BY who ORDER BY ts, id ROWS UNBOUNDED PRECEDING) AS so_far,
       count(*) OVER (PARTITION BY who ORDER BY ts, id) AS number,
       max(ratio) OVER (PARTITION BY who ORDER BY ts, id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS around
FROM events;
