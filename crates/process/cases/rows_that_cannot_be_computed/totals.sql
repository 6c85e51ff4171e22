SELECT count(*) AS n, sum(100 / value) AS total FROM events
