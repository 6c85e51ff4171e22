SELECT value AS v, who, id, 'x' AS mark FROM events WHERE value > 5 OR who IS NULL
