/*
description = "The ten products most wanted in the newest five minutes."
layer = "kpi"
*/
SELECT product_id, product_name, sum(wanted) AS wanted
FROM wanted_by_minute
WHERE minute > (SELECT max(minute) FROM wanted_by_minute) - INTERVAL '5 minutes'
GROUP BY product_id, product_name
ORDER BY wanted DESC, product_id
LIMIT 10
