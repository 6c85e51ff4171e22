-- Orders without a payment keep their row with NULLs; a payment that comes late takes the NULLs away.

CREATE VIEW settled AS
SELECT o.id AS order_id, o.who, p.id AS payment_id, p.amount
FROM orders o LEFT JOIN payments p ON p.ref = o.id AND p.ts >= o.ts AND p.ts < o.ts + INTERVAL '5 minutes';

CREATE VIEW open_orders AS
SELECT who, count(*) AS n FROM settled WHERE payment_id IS NULL GROUP BY who;
