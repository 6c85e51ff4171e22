WITH minutes AS (SELECT tumble(ts, '1 minute') AS minute, sum(value) AS total FROM events GROUP BY minute),
     pairs AS (SELECT a.minute, a.total, b.total AS before FROM minutes a LEFT JOIN minutes b ON b.minute = a.minute - INTERVAL '1 minute')
SELECT minute, total, before FROM pairs ORDER BY minute LIMIT 3 OFFSET 1
