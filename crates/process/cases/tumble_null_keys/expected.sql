-- NULL, the empty text and the text "null" are three keys; a sum of nothing but NULL is NULL, not 0.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, place, count(*) AS n, count(value) AS valued, sum(value) AS total, max(value) AS most
FROM events GROUP BY minute, who, place;
