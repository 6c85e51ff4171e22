SELECT a.id, a.who, a.ts FROM events a
LEFT JOIN events b ON b.who = a.who AND b.kind = 'paid' AND b.ts >= a.ts AND b.ts <= a.ts + INTERVAL '10 minutes'
CROSS JOIN (SELECT max(ts) AS now FROM events) t
WHERE a.kind = 'cart' AND b.id IS NULL AND a.ts + INTERVAL '10 minutes' < t.now
