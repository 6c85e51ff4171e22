SELECT tumble(ts, '1 minute') AS minute, count(*) FILTER (WHERE flag) AS flagged, count(*) FILTER (WHERE NOT flag) AS unflagged,
       sum(value) FILTER (WHERE kind = 'in') AS ins, sum(value) FILTER (WHERE kind = 'out') AS outs,
       count(DISTINCT who) FILTER (WHERE value > 1) AS people, max(value) FILTER (WHERE who IS NULL) AS anonymous
FROM events GROUP BY minute
