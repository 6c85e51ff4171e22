/*
description = "Pass through: what a bid costs that nothing is asked of."
*/
SELECT auction, bidder, price, date_time, extra FROM bid
