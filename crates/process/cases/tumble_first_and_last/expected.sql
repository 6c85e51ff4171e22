-- The first and the last value by time, not by arrival; the two latest come in the wrong order, and one value is NULL.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, arg_min(value, ts) AS first, arg_max(value, ts) AS last,
       arg_max_null(place, value) AS place_of_most
FROM events WHERE value IS NOT NULL GROUP BY minute, who;
