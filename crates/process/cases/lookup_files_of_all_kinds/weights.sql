SELECT tumble(e.ts, '1 minute') AS minute, sum(c.weight) AS weight, count(*) AS n
FROM events e JOIN codes c ON CAST(c.code AS text) = e.code WHERE c.title <> 'two' GROUP BY minute
