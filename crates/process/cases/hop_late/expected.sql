-- A late row corrects every final window it lies in, and only those; another opens windows where there was a gap.

CREATE VIEW by_ten AS
SELECT start, count(*) AS n, sum(value) AS total, count(DISTINCT who) AS people
FROM (SELECT *, unnest(hops(ts, '5 minutes', '10 minutes')) AS start FROM events) GROUP BY start;
