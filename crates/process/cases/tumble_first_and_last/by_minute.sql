SELECT tumble(ts, '1 minute') AS minute, who, first_value(value ORDER BY ts) AS first, last_value(value ORDER BY ts) AS last,
       first_value(place ORDER BY value DESC) AS place_of_most
FROM events WHERE value IS NOT NULL GROUP BY minute, who
