SELECT tumble(e.ts, '1 minute') AS minute, s.region, g.grade, count(*) AS n, sum(e.value) AS total
FROM events e JOIN shops s ON s.place = e.place LEFT JOIN grades g ON e.value >= g.least AND e.value < g.most
GROUP BY minute, s.region, g.grade
