-- A row passes only if each check is true, NULL fails; the first that failed is told in the order of the file, and all of
-- them.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(amount) AS total FROM events GROUP BY minute;

CREATE VIEW events__dead AS
WITH judged AS (
    SELECT list_filter([
        CASE WHEN (value > 0 AND value < 11) IS NOT TRUE THEN 'value_is_in_range' END,
        CASE WHEN (amount > 0) IS NOT TRUE THEN 'amount_is_positive' END,
        CASE WHEN (who <> '') IS NOT TRUE THEN 'who_is_known' END], lambda name: name IS NOT NULL) AS checks
    FROM events__all)
SELECT checks[1] AS "check", checks, 'check' AS kind, 'dead' AS state FROM judged WHERE 0 < len(checks);

CREATE VIEW reasons AS SELECT "check" AS reason, count(*) AS n FROM events__dead GROUP BY "check";
