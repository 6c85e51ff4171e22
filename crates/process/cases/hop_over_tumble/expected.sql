-- Sliding sums over a table of minutes: a corrected minute corrects each window it lies in.

CREATE VIEW sliding AS
WITH minutes AS (SELECT tumble(ts, '1 minute') AS minute, who, sum(value) AS total FROM events GROUP BY minute, who)
SELECT start, who, sum(total) AS total, count(*) AS minutes
FROM (SELECT *, unnest(hops(minute, '1 minute', '3 minutes')) AS start FROM minutes) GROUP BY start, who;
