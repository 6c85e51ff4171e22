-- The groups of a window are joined with a lookup above them, in the same SELECT and in a table of its own.

CREATE VIEW by_place AS
SELECT tumble(ts, '1 minute') AS minute, place, sum(value) AS total FROM events GROUP BY minute, place;

CREATE VIEW weighted AS
SELECT b.minute, b.place, b.total, b.total * s.weight AS weighted, coalesce(s.region, 'nowhere') AS region
FROM by_place b LEFT JOIN shops s ON s.place = b.place;

CREATE VIEW in_one AS
SELECT b.minute, s.region, b.total
FROM (SELECT tumble(ts, '2 minutes') AS minute, place, sum(value) AS total FROM events GROUP BY minute, place) b
JOIN shops s ON s.place = b.place;
