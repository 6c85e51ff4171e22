-- A late row makes a final window pass HAVING, and another one makes it fail again.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, sum(value) AS total FROM events GROUP BY minute HAVING sum(value) > 5;
