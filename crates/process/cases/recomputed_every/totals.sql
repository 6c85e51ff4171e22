SELECT who, sum(value) AS total FROM events GROUP BY who
