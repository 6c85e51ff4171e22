-- Two tables over the same rows meet in a third, which compares each minute with its place in the hour.

CREATE VIEW shares AS
WITH minutes AS (SELECT tumble(ts, '1 minute') AS minute, who, sum(value) AS total FROM events GROUP BY minute, who),
     hours AS (SELECT tumble(ts, '1 hour') AS hour, who, sum(value) AS total FROM events GROUP BY hour, who)
SELECT m.minute, m.who, m.total, h.total AS of_hour, round(CAST(m.total AS DOUBLE) / h.total, 6) AS share
FROM minutes m JOIN hours h ON h.who = m.who AND h.hour = tumble(m.minute, '1 hour') WHERE h.total <> 0;
