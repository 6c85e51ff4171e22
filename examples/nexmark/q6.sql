/*
description = "Average selling price of a seller: of the highest bids on the ten auctions before and this one."
every = "5 seconds"
*/
SELECT seller, auction, date_time,
       avg(price) OVER (PARTITION BY seller ORDER BY date_time, auction ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS average
FROM (
    SELECT a.seller, a.id AS auction, b.price, b.date_time,
           row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.date_time) AS place
    FROM auction a JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
) AS ranked
WHERE place = 1
