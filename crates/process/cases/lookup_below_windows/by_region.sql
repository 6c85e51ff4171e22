SELECT tumble(e.ts, '1 minute') AS minute, s.region, count(*) AS n, sum(e.value * s.weight) AS weighted
FROM events e LEFT JOIN shops s ON s.place = e.place GROUP BY minute, s.region
