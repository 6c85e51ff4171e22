SELECT h.hour, w.who, v.value, last_value(v.value) IGNORE NULLS OVER (PARTITION BY w.who ORDER BY h.hour) AS newest
FROM (SELECT DISTINCT hour FROM hours) h CROSS JOIN (SELECT DISTINCT who FROM hours) w
LEFT JOIN hours v ON v.hour = h.hour AND v.who = w.who
