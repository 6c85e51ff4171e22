SELECT count(*) AS n, count(seen) AS timed FROM events
