SELECT a.id AS one, b.id AS other FROM events a JOIN events b ON a.who = b.who AND a.id < b.id AND b.ts - a.ts <= INTERVAL '20 seconds' AND b.ts >= a.ts - INTERVAL '20 seconds'
