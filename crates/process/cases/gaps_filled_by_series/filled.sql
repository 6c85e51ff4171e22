SELECT s.minute, coalesce(m.n, 0) AS n, coalesce(m.total, 0) AS total
FROM (SELECT unnest(generate_series(min(minute), max(minute), INTERVAL '1 minute')) AS minute FROM minutes) s
LEFT JOIN minutes m ON m.minute = s.minute
