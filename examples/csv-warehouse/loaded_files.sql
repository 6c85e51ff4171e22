/*
description = "What came of each file, the newest version of it."
layer       = "reporting"
*/
SELECT key, event, records, message, at FROM (
  SELECT key, event, records, message, at, ROW_NUMBER() OVER (PARTITION BY key ORDER BY _sequence DESC) AS place
  FROM landing_events WHERE event IN ('read', 'failed'))
WHERE place <= 1
