/*
description = "Average selling price of a seller: of the winning bids on the ten auctions before and this one."
every = "5 seconds"
*/
SELECT seller, id AS auction, bid_time AS date_time,
       avg(price) OVER (PARTITION BY seller ORDER BY bid_time, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS average
FROM q9
