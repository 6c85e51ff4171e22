-- A lookup below sliding windows, and above them a table with the greatest window of each region.

CREATE VIEW by_region AS
SELECT start, region, count(*) AS n
FROM (SELECT e.ts, s.region, unnest(hops(e.ts, '1 minute', '3 minutes')) AS start FROM events e LEFT JOIN shops s USING (place))
GROUP BY start, region;

CREATE VIEW peaks AS SELECT region, max(n) AS most FROM by_region GROUP BY region;
