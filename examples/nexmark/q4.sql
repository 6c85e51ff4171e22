/*
description = "Average price of a category: of the winning bids."
every = "5 seconds"
*/
SELECT category, avg(price) AS average FROM q9 GROUP BY category
