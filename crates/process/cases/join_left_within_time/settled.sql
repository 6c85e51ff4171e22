SELECT o.id AS order_id, o.who, p.id AS payment_id, p.amount
FROM orders o LEFT JOIN payments p ON p.ref = o.id AND p.ts >= o.ts AND p.ts < o.ts + INTERVAL '5 minutes'
