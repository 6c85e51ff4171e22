SELECT tumble(ts, '1 minute') AS minute, data->'who'->>'city' AS city, count(*) AS n, sum(json_get_int(data, 'n')) AS total
FROM events GROUP BY minute, city
