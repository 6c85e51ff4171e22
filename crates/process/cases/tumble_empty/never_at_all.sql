SELECT count(*) AS n, max(value) AS most FROM events WHERE 1 = 2
