SELECT count(*) AS n, sum(value) AS total, count(*) FILTER (WHERE flag) AS flagged, max(value) FILTER (WHERE value < 0) AS debt FROM events
