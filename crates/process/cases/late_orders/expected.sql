-- Checked orders, a table of rows that leaves some out, windows that late rows correct.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, upper(region) AS region, count(*) AS orders, sum(total) AS revenue
FROM orders WHERE region IS NOT NULL GROUP BY ALL;

CREATE VIEW orders__dead AS
SELECT 'total_is_positive' AS "check", 'check' AS kind, 'dead' AS state
FROM orders__all WHERE (total > 0) IS NOT TRUE;
