/*
description = "Hot items: the auctions with most bids in ten seconds, every two seconds."
*/
SELECT start, auction, num
FROM (SELECT start, auction, num, max(num) OVER (PARTITION BY start) AS most FROM bids_by_window) AS counted
WHERE num = most
