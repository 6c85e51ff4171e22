/*
description = "Files whose newest version is no table, though a stream should read it."
layer       = "reporting"
*/
SELECT key, message, at FROM (
  SELECT key, event, message, at, ROW_NUMBER() OVER (PARTITION BY key ORDER BY _sequence DESC) AS place
  FROM experiments_events WHERE event IN ('read', 'failed', 'deleted'))
WHERE place <= 1 AND event = 'failed'
