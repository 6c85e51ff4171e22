SELECT e.id, c.title, c.weight, l.name, n.name AS other, n.active
FROM events e LEFT JOIN codes c ON CAST(c.code AS text) = e.code LEFT JOIN levels l ON l.level = e.level AND l.since <= e.ts
LEFT JOIN names n ON CAST(n.code AS text) = e.code
