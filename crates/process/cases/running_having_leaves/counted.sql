SELECT count(*) AS n, sum(total) AS total FROM rich
