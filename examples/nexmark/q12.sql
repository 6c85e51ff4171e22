/*
description = "Windows of processing time: how often somebody bids in ten seconds by the clock on the wall."
*/
SELECT tumble(_arrived, '10 seconds') AS start, bidder, count(*) AS bids
FROM bid
GROUP BY start, bidder
