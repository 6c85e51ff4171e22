SELECT minute, who, total, total - lag(total) OVER (PARTITION BY who ORDER BY minute) AS change,
       minute - lag(minute) OVER (PARTITION BY who ORDER BY minute) > INTERVAL '1 minute' AS after_gap,
       avg(total) OVER (PARTITION BY who ORDER BY minute ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS usual
FROM minutes
