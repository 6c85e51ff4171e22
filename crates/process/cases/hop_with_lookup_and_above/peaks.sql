SELECT region, max(n) AS most FROM by_region GROUP BY region
