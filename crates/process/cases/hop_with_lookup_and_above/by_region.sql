SELECT hop(e.ts, '1 minute', '3 minutes') AS start, s.region, count(*) AS n
FROM events e LEFT JOIN shops s ON s.place = e.place GROUP BY start, s.region
