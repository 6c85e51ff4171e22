SELECT upper(substr(name, 1, 1)) AS letter, count(*) AS n, sum(value) AS total, max(value) - min(value) AS spread,
       CAST(sum(value) AS FLOAT) / count(*) AS mean
FROM clean GROUP BY letter
