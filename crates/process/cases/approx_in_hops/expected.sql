-- The states of panes are merged for each window they lie in; a table over windows computes its own.

CREATE VIEW hopping AS
SELECT start, count(DISTINCT who) AS people, min(value) AS least, max(value) AS most
FROM (SELECT unnest(hops(ts, '1 minute', '3 minutes')) AS start, who, value FROM events) GROUP BY start;

CREATE VIEW above AS
SELECT tumble(start, '3 minutes') AS start3, count(DISTINCT people) AS kinds, quantile_disc(most, 0.5) AS middle FROM hopping GROUP BY start3 HAVING count(*) = 3;
