-- Ten minutes every three: the size is no multiple of the slide, so rows lie in three windows or in four.

CREATE VIEW by_ten AS
SELECT start, count(*) AS n, min(ts) AS first, max(ts) AS last
FROM (SELECT *, unnest(hops(ts, '3 minutes', '10 minutes')) AS start FROM events) GROUP BY start;
