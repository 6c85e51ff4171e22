SELECT who, sum(value) AS total, count(*) AS n FROM events GROUP BY who
