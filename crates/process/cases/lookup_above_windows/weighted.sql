SELECT b.minute, b.place, b.total, b.total * s.weight AS weighted, coalesce(s.region, 'nowhere') AS region
FROM by_place b LEFT JOIN shops s ON s.place = b.place
