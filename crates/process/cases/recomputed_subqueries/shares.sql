SELECT who, sum(value) AS total, (SELECT sum(value) FROM events) AS overall FROM events GROUP BY who HAVING sum(value) > (SELECT min(value) FROM events)
