/*
description = "Selection: the bids on certain auctions."
*/
SELECT auction, price FROM bid WHERE auction % 123 = 0
