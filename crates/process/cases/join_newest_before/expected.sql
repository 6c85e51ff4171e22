-- For each order the newest price before it: the price may be corrected later, be of the same moment, or not be there.

CREATE VIEW priced AS
SELECT id, item, price FROM (
    SELECT o.id, o.item, p.price, row_number() OVER (PARTITION BY o.id ORDER BY p.ts DESC, p.id DESC) AS place
    FROM orders o LEFT JOIN payments p ON p.item = o.item AND p.ts <= o.ts
) x WHERE place = 1;
