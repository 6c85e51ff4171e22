/*
description = "Bids with their auction, of category 10; a bid is made within ten minutes of it."
*/
SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.date_time, b.extra,
       a.item_name, a.description, a.initial_bid, a.reserve, a.date_time AS auction_time, a.expires, a.seller, a.category
FROM bid b JOIN auction a ON b.auction = a.id
     AND b.date_time BETWEEN a.date_time - INTERVAL '10 minutes' AND a.date_time + INTERVAL '10 minutes'
WHERE a.category = 10
