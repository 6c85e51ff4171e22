SELECT tumble(ts, '1 minute') AS minute, min(who) AS who_min, max(who) AS who_max, min(seen) AS seen_min, max(seen) AS seen_max,
       min(day) AS day_min, max(day) AS day_max, min(flag) AS flag_min, max(flag) AS flag_max, min(amount) AS amount_min, max(amount) AS amount_max
FROM events GROUP BY minute
