/*
description = "Winning bids: of each auction the highest bid made while it was open, the first of equal ones."
*/
SELECT id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra,
       bidder, price, bid_time, bid_extra
FROM (
    SELECT a.id, a.item_name, a.description, a.initial_bid, a.reserve, a.date_time, a.expires, a.seller, a.category, a.extra,
           b.bidder, b.price, b.date_time AS bid_time, b.extra AS bid_extra,
           row_number() OVER (PARTITION BY a.date_time, a.id ORDER BY b.price DESC, b.date_time) AS place
    FROM auction a JOIN bid b ON a.id = b.auction AND b.date_time <= a.expires
         AND b.date_time BETWEEN a.date_time AND a.date_time + INTERVAL '10 minutes'
) AS ranked
WHERE place = 1
