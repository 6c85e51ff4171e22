-- The very same record three times is three rows; only DISTINCT sees one.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, count(DISTINCT id) AS ids, sum(value) AS total, sum(DISTINCT value) AS distinct_total
FROM events GROUP BY minute, who;
