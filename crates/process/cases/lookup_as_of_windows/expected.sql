-- Prices that end before the next begins, and some that never end; under windows, under totals, and above windows.

CREATE VIEW ends AS SELECT sku, since, coalesce(until, TIMESTAMP '9999-12-31') AS until, price FROM prices;

CREATE VIEW by_minute AS
SELECT tumble(o.ts, '1 minute') AS minute, o.sku, sum(o.quantity * p.price) AS amount, count(p.price) AS priced, count(*) AS orders
FROM orders o LEFT JOIN ends p ON p.sku = o.sku AND o.ts >= p.since AND o.ts < p.until
GROUP BY minute, o.sku;

CREATE VIEW counted AS
SELECT tumble(ts, '1 minute') AS minute, sku, sum(quantity) AS quantity FROM orders GROUP BY minute, sku;

CREATE VIEW above AS
SELECT c.minute, c.sku, c.quantity, p.price
FROM counted c LEFT JOIN ends p ON p.sku = c.sku AND c.minute >= p.since AND c.minute < p.until;

CREATE VIEW by_price AS
SELECT p.price, count(*) AS orders, sum(o.quantity) AS quantity FROM orders o JOIN ends p ON p.sku = o.sku AND o.ts >= p.since AND o.ts < p.until GROUP BY p.price;
