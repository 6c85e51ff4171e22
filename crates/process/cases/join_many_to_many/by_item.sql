SELECT item, count(*) AS pairs FROM pairs GROUP BY item
