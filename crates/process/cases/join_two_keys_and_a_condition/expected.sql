-- Two columns tie the sides, one of them NULL now and then, and a condition over both sides besides time.

CREATE VIEW matches AS
SELECT o.id AS left_id, p.id AS right_id, p.amount - o.amount AS more
FROM orders o JOIN payments p ON o.who = p.who AND o.item = p.item AND p.amount > o.amount
AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '1 hour';
