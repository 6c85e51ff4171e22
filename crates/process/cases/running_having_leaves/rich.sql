SELECT who, sum(amount) AS total FROM events GROUP BY who HAVING sum(amount) >= 10
