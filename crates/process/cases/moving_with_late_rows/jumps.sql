SELECT id, before FROM (SELECT id, value, lag(value) OVER (ORDER BY ts, id) AS before FROM events WHERE value IS NOT NULL) x WHERE value > before + 10
