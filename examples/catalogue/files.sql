/*
description = "Every file there is: its experiment, format and size, and what was said of it when it was put (who, which instrument, what for)."
owner       = "lab-data"
tags        = ["laboratory", "metadata"]
layer       = "reporting"
*/
SELECT key, split_part(key, '/', 1) AS experiment,
       regexp_replace(lower(regexp_replace(key, '\.(gz|zst|lz4)$', '')), '^.*\.', '') AS format,
       size, created, metadata ->> 'researcher' AS researcher, metadata ->> 'instrument' AS instrument, metadata ->> 'about' AS about
FROM (
  SELECT event, key, size, created, metadata, ROW_NUMBER() OVER (PARTITION BY key ORDER BY _sequence DESC) AS place
  FROM experiments_events WHERE event IN ('created', 'changed', 'deleted'))
WHERE place <= 1 AND event <> 'deleted'
