-- A stream with itself, near in time on both sides, with rows that come after what they change was final; windows over such a join.

CREATE VIEW pairs AS
SELECT a.id AS one, b.id AS other FROM events a JOIN events b ON a.who = b.who AND a.id < b.id AND b.ts - a.ts <= INTERVAL '20 seconds' AND b.ts >= a.ts - INTERVAL '20 seconds';

CREATE VIEW alone AS
SELECT a.id, a.who FROM events a WHERE NOT EXISTS (SELECT 1 FROM events b WHERE b.who = a.who AND b.id <> a.id AND b.ts BETWEEN a.ts - INTERVAL '30 seconds' AND a.ts + INTERVAL '30 seconds');

CREATE VIEW followed AS
SELECT tumble(a.ts, '1 minute') AS minute, count(*) AS n, count(b.id) AS next FROM events a LEFT JOIN events b ON b.who = a.who AND b.ts > a.ts AND b.ts < a.ts + INTERVAL '15 seconds' GROUP BY minute;
