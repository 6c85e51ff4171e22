-- Rows come in falling order of time, within what `late` waits for.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total, min(value) AS least, max(value) AS most
FROM events GROUP BY minute, who;
