-- Each minute beside the minute before it that has rows: a late row makes a minute where there was none.

CREATE VIEW minutes AS
SELECT tumble(ts, '1 minute') AS minute, who, sum(value) AS total FROM events GROUP BY minute, who;

CREATE VIEW changes AS
SELECT minute, who, total, total - lag(total) OVER (PARTITION BY who ORDER BY minute) AS change,
       minute - lag(minute) OVER (PARTITION BY who ORDER BY minute) > INTERVAL '1 minute' AS after_gap,
       avg(total) OVER (PARTITION BY who ORDER BY minute ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS usual
FROM minutes;
