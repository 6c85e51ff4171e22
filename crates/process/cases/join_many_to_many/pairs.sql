SELECT o.id AS left_id, p.id AS right_id, o.item FROM orders o JOIN payments p ON o.item = p.item
AND p.ts >= o.ts - INTERVAL '2 minutes' AND p.ts <= o.ts + INTERVAL '2 minutes'
