SELECT s.region, count(*) AS n, sum(e.amount) AS total FROM events e JOIN shops s ON s.place = e.place GROUP BY s.region
