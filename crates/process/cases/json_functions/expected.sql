-- Parts of a JSON column as text and as numbers: missing, null, nested, a list, a text where a number is asked, no JSON at
-- all.

CREATE VIEW parts AS
SELECT id, data->>'name' AS name, data->'who'->>'city' AS city, CAST(data->>'n' AS BIGINT) AS n, CAST(data->>'x' AS DOUBLE) AS x,
       CAST(data->>'ok' AS BOOLEAN) AS ok, CASE json_type(data, '$.list') WHEN 'ARRAY' THEN json_array_length(data, '$.list') END AS items,
       data->'list'->>1 AS second, data->>'name' IS NULL AS nameless
FROM events;

CREATE VIEW by_city AS
SELECT tumble(ts, '1 minute') AS minute, data->'who'->>'city' AS city, count(*) AS n, sum(CAST(data->>'n' AS BIGINT)) AS total
FROM events GROUP BY minute, city;
