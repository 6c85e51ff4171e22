-- Windows that slide across 1970, and rows exactly on their edges.

CREATE VIEW by_hour AS
SELECT start, count(*) AS n, sum(value) AS total
FROM (SELECT *, unnest(hops(ts, '20 minutes', '1 hour')) AS start FROM events) GROUP BY start;
