-- Duplicates on both sides multiply; the bound in time lets only some pairs through, before and after.

CREATE VIEW pairs AS
SELECT o.id AS left_id, p.id AS right_id, o.item FROM orders o JOIN payments p ON o.item = p.item
AND p.ts >= o.ts - INTERVAL '2 minutes' AND p.ts <= o.ts + INTERVAL '2 minutes';

CREATE VIEW by_item AS
SELECT item, count(*) AS pairs FROM pairs GROUP BY item;
