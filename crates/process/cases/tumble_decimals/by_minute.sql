SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(amount) AS total, min(amount) AS least, max(amount) AS most,
       sum(price * quantity) AS worth, sum(big) AS big_total, CAST(sum(big) AS TEXT) AS big_text
FROM events GROUP BY minute
