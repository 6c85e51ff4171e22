-- Windows are final at once; late rows correct them again and again, bring new keys, and make windows where there was a
-- gap.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total, avg(value) AS mean, count(DISTINCT value) AS kinds
FROM events GROUP BY minute, who;
