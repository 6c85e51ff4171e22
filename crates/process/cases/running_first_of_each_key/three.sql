SELECT who, id, value, place FROM (SELECT who, id, value, row_number() OVER (PARTITION BY who ORDER BY value DESC NULLS LAST, id) AS place FROM events) x WHERE place <= 3
