/*
description = "New users: who came and opened an auction within the same ten seconds."
*/
SELECT p.start, p.id, p.name
FROM (
    SELECT tumble(date_time, '10 seconds') AS start, id, name
    FROM person GROUP BY start, id, name
) AS p
JOIN (
    SELECT tumble(date_time, '10 seconds') AS start, seller
    FROM auction GROUP BY start, seller
) AS a ON p.start = a.start AND p.id = a.seller
