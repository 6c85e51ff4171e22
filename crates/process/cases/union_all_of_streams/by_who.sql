SELECT who, count(*) AS n, sum(amount) AS total, count(DISTINCT origin) AS origins FROM every GROUP BY who
