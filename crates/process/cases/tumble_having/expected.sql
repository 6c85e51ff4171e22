-- Groups enter and leave what HAVING lets through as rows come: a sum falls below its bound, a count rises above.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total
FROM events GROUP BY minute, who HAVING sum(value) >= 10 AND count(*) > 1;
