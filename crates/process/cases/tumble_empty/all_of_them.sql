SELECT count(*) AS n, sum(value) AS total FROM events WHERE value > 1000
