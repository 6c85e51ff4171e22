SELECT o.id AS order_id, p.id AS payment_id, o.who, p.ts - o.ts <= INTERVAL '1 minute' AS fast, p.amount
FROM orders o JOIN payments p ON p.ref = o.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '10 minutes'
