-- A LEFT JOIN with a lookup under the windows: unknown and NULL keys keep their rows, an empty field is NULL.

CREATE VIEW by_region AS
SELECT tumble(e.ts, '1 minute') AS minute, s.region, count(*) AS n, sum(e.value * s.weight) AS weighted
FROM events e LEFT JOIN shops s ON s.place = e.place GROUP BY minute, s.region;
