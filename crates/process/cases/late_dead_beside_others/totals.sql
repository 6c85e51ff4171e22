SELECT who, count(*) AS n FROM events GROUP BY who
