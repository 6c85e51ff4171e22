SELECT tumble(ts, '1 minute') AS minute, who, place, count(*) AS n, count(value) AS valued, sum(value) AS total, max(value) AS most
FROM events GROUP BY minute, who, place
