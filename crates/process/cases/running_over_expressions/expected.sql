-- Totals by an expression, over a table of rows that leaves some out, with arithmetic above the groups.

CREATE VIEW by_letter AS
WITH clean AS (SELECT coalesce(nullif(trim(who), ''), 'nobody') AS name, value FROM events WHERE value IS NOT NULL)
SELECT upper(substr(name, 1, 1)) AS letter, count(*) AS n, sum(value) AS total, max(value) - min(value) AS spread,
       CAST(sum(value) AS DOUBLE) / count(*) AS mean
FROM clean GROUP BY letter;
