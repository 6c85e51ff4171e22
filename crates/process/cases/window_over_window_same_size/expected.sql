-- The upper window is as wide as the lower one: groups of groups in the same minute.

CREATE VIEW by_who AS
SELECT tumble(ts, '1 minute') AS minute, who, place, sum(value) AS total FROM events GROUP BY minute, who, place;

CREATE VIEW by_place AS
SELECT tumble(minute, '1 minute') AS minute_of_place, place, count(*) AS people, min(total) AS least, max(total) AS most
FROM by_who GROUP BY minute_of_place, place;
