-- Totals since the beginning by nullable keys: they pass zero, and a key with nothing but NULLs has a NULL sum.

CREATE VIEW by_who AS
SELECT who, place, count(*) AS n, sum(amount) AS total, avg(ratio) AS mean, min(ts) AS first, max(ts) AS last,
       count(DISTINCT value) AS kinds, stddev(ratio) AS deviation, median(ratio) AS middle
FROM events GROUP BY who, place;
