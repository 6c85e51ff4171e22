SELECT tumble(ts, '1 minute') AS minute, upper(trim(who)) AS name, value % 2 AS odd, count(*) * 100 AS hundreds,
       sum(CASE WHEN value > 5 THEN value ELSE 0 END) AS large, sum(value) - min(value) AS rest,
       CAST(sum(value) AS FLOAT) / NULLIF(count(*) - 1, 0) AS share, coalesce(max(place), '-') || '!' AS place,
       CASE WHEN count(*) > 2 THEN 'many' WHEN count(*) = 2 THEN 'two' ELSE 'one' END AS size
FROM events WHERE abs(value) < 100 GROUP BY minute, name, odd
