-- Running totals by a value of a lookup, and a table above them that joins another column of it.

CREATE VIEW by_region AS
SELECT s.region, count(*) AS n, sum(e.amount) AS total FROM events e JOIN shops s ON s.place = e.place GROUP BY s.region;

CREATE VIEW regions AS
SELECT r.region, r.total, x.places FROM by_region r
JOIN (SELECT region, count(*) AS places FROM shops GROUP BY region) x ON x.region = r.region;
