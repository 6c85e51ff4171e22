-- The price of the moment of each order: before the first there is none, a price counts from its own moment on, and late orders find the price of then.

CREATE VIEW priced AS
SELECT o.id, o.sku, p.price, o.quantity * p.price AS amount
FROM orders o ASOF LEFT JOIN prices p ON p.sku = o.sku AND o.ts >= p.since;

CREATE VIEW known AS
SELECT o.id, p.price FROM orders o ASOF JOIN prices p ON p.sku = o.sku AND o.ts >= p.since;

CREATE VIEW unpriced AS
SELECT id FROM priced WHERE price IS NULL;

-- Every price that was over by then.
CREATE VIEW before AS
SELECT o.id, p.price FROM orders o JOIN (
    SELECT *, lead(since) OVER (PARTITION BY sku ORDER BY since) AS until FROM prices
) p ON p.sku = o.sku AND o.ts > p.until;
