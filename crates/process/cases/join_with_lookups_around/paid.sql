SELECT o.ts, o.id AS order_id, c.class, p.amount, s.name FROM orders o
JOIN classes c ON c.item = o.item
JOIN payments p ON p.ref = o.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '1 minute'
LEFT JOIN states s ON s.state = p.state
