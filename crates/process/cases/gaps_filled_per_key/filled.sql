SELECT h.hour, w.who, v.value, sum(CASE WHEN v.hour IS NULL THEN 0 ELSE 1 END) OVER (PARTITION BY w.who ORDER BY h.hour) AS known,
       max(v.value) OVER (PARTITION BY w.who ORDER BY h.hour) AS most
FROM (SELECT DISTINCT hour FROM hours) h CROSS JOIN (SELECT DISTINCT who FROM hours) w
LEFT JOIN hours v ON v.hour = h.hour AND v.who = w.who
