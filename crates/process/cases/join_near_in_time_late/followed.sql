SELECT tumble(a.ts, '1 minute') AS minute, count(*) AS n, count(b.id) AS next FROM events a LEFT JOIN events b ON b.who = a.who AND b.ts > a.ts AND b.ts < a.ts + INTERVAL '15 seconds' GROUP BY minute
