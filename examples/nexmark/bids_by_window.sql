/*
description = "Bids on each auction in ten seconds, every two seconds: the fifth question is asked of it."
*/
SELECT hop(date_time, '2 seconds', '10 seconds') AS start, auction, count(*) AS num
FROM bid
GROUP BY start, auction
