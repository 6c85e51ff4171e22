/*
description = "Average price of a category: of the highest bid of each auction, made while it was open."
every = "5 seconds"
*/
SELECT category, avg(final) AS average
FROM (
    SELECT a.id, a.category, max(b.price) AS final
    FROM auction a JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
    GROUP BY a.id, a.category
) AS highest
GROUP BY category
