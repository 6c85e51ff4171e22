SELECT b.minute, s.region, b.total
FROM (SELECT tumble(ts, '2 minutes') AS minute, place, sum(value) AS total FROM events GROUP BY minute, place) b
JOIN shops s ON s.place = b.place
