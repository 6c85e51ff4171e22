-- A stream with itself: each reading and those of the same machine in the thirty seconds after it; ties and its own row
-- are left out.

CREATE VIEW pairs AS
SELECT a.id AS id, b.id AS after_id, b.value - a.value AS change FROM events a JOIN events b
ON a.host = b.host AND b.ts > a.ts AND b.ts <= a.ts + INTERVAL '30 seconds';
