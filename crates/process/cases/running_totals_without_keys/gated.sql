SELECT sum(value) AS total FROM events HAVING sum(value) > 10
