/*
description = "Highest bid: of each ten seconds, all if several are equal."
*/
SELECT start, auction, bidder, price, date_time, extra
FROM (
    SELECT tumble(date_time, '10 seconds') AS start, auction, bidder, price, date_time, extra,
           max(price) OVER (PARTITION BY tumble(date_time, '10 seconds')) AS most
    FROM bid
) AS bids
WHERE price = most
