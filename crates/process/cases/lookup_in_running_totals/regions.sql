SELECT r.region, r.total, x.places FROM by_region r
JOIN (SELECT region, count(*) AS places FROM shops GROUP BY region) x ON x.region = r.region
