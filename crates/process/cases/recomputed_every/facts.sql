/*
every = "1 second"
*/
SELECT 'rows' AS what, count(*) AS n FROM events UNION ALL SELECT 'minutes', count(*) FROM minutes
UNION ALL SELECT 'people', count(*) FROM totals UNION ALL SELECT 'most', max(total) FROM totals
