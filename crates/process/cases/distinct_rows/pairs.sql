SELECT DISTINCT lower(who) AS who, value / 10 AS tens FROM events
