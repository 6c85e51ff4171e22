SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, count(ratio) AS ratios, sum(ratio) AS total, avg(ratio) AS mean,
       min(ratio) AS least, max(ratio) AS most, stddev(ratio) AS deviation, stddev_pop(ratio) AS deviation_pop,
       var_samp(ratio) AS variance, median(ratio) AS middle, count(DISTINCT place) AS places, min(place) AS first_place,
       max(place) AS last_place, bool_and(flag) AS every_flag, bool_or(flag) AS any_flag
FROM events GROUP BY minute, who
