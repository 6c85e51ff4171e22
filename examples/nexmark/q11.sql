/*
description = "User sessions: how often somebody bids before pausing for ten seconds."
*/
SELECT bidder, count(*) AS bids, session(date_time, '10 seconds') AS start, max(date_time) AS last
FROM bid
GROUP BY bidder, start
