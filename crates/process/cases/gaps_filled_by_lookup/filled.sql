SELECT m.minute, k.kind, coalesce(c.n, 0) AS n FROM (SELECT DISTINCT minute FROM minutes) m CROSS JOIN kinds k
LEFT JOIN minutes c ON c.minute = m.minute AND c.kind = k.kind
