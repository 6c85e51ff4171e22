-- A lookup under one side and another above the join; the join is grouped by minutes after that.

CREATE VIEW paid AS
SELECT o.ts, o.id AS order_id, c.class, p.amount, s.name FROM orders o
JOIN classes c ON c.item = o.item
JOIN payments p ON p.ref = o.id AND p.ts BETWEEN o.ts AND o.ts + INTERVAL '1 minute'
LEFT JOIN states s ON s.state = p.state;

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, class, name, count(*) AS n, sum(amount) AS total FROM paid GROUP BY minute, class, name;
