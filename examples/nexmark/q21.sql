/*
description = "Channel id: a number for each channel, known by its name or read from the address."
*/
SELECT auction, bidder, price, channel,
       CASE lower(channel)
            WHEN 'apple' THEN '0'
            WHEN 'google' THEN '1'
            WHEN 'facebook' THEN '2'
            WHEN 'baidu' THEN '3'
            ELSE regexp_match(url, '(&|^)channel_id=([^&]*)')[2]
       END AS channel_id
FROM bid
WHERE lower(channel) IN ('apple', 'google', 'facebook', 'baidu') OR regexp_like(url, '(&|^)channel_id=([^&]*)')
