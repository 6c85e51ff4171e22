/*
late = "0 seconds"
*/
SELECT a.id, a.who FROM events a WHERE NOT EXISTS (SELECT 1 FROM events b WHERE b.who = a.who AND b.id <> a.id AND b.ts BETWEEN a.ts - INTERVAL '30 seconds' AND a.ts + INTERVAL '30 seconds')
