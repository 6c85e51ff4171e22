/*
description = "Last bid: the newest of each bidder on each auction."
*/
SELECT auction, bidder, max(date_time) AS date_time,
       last_value(price ORDER BY date_time) AS price, last_value(channel ORDER BY date_time) AS channel,
       last_value(url ORDER BY date_time) AS url, last_value(extra ORDER BY date_time) AS extra
FROM bid
GROUP BY auction, bidder
