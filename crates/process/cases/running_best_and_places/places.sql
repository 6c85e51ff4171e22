SELECT who, total, rank() OVER (ORDER BY total DESC NULLS LAST) AS place FROM (SELECT who, sum(value) AS total FROM events GROUP BY who) x
