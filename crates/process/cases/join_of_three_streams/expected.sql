-- An order, its payment and its parcel; each may come first, and one of them may never come.

CREATE VIEW done AS
SELECT o.id AS order_id, p.id AS payment_id, s.id AS parcel_id FROM orders o
JOIN payments p ON p.ref = o.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '10 minutes'
LEFT JOIN parcels s ON s.ref = o.id AND s.ts BETWEEN p.ts AND p.ts + INTERVAL '1 day';
