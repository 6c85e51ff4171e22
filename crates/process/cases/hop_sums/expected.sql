-- Five minutes every minute: each row lies in five windows, the first of which begin before any row.

CREATE VIEW by_five AS
SELECT start, who, count(*) AS n, sum(value) AS total
FROM (SELECT *, unnest(hops(ts, '1 minute', '5 minutes')) AS start FROM events) GROUP BY start, who;
