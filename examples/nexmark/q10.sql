/*
description = "Log to files: every bid as Parquet, in folders of an hour."
partition   = "hour(date_time)"
*/
SELECT auction, bidder, price, date_time, extra,
       to_char(date_time, 'YYYY-MM-DD') AS dt, to_char(date_time, 'HH24:MI') AS hm
FROM bid
