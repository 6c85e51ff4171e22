SELECT tumble(minute, '1 minute') AS minute_of_place, place, count(*) AS people, min(total) AS least, max(total) AS most
FROM by_who GROUP BY minute_of_place, place
