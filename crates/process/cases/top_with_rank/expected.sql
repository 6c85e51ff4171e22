-- RANK leaves holes after ties, DENSE_RANK does not, and both may give more rows than N.

CREATE VIEW totals AS
SELECT who, sum(value) AS total FROM events GROUP BY who;

CREATE VIEW ranked AS
SELECT who, total, wide, close FROM (
    SELECT who, total, rank() OVER (ORDER BY total DESC) AS wide, dense_rank() OVER (ORDER BY total DESC) AS close
    FROM totals WHERE total IS NOT NULL
) x WHERE close <= 2;
