SELECT minute, who, n FROM (
    SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n,
           row_number() OVER (PARTITION BY tumble(ts, '1 minute') ORDER BY count(*) DESC, who) AS place
    FROM events GROUP BY tumble(ts, '1 minute'), who
) x WHERE place = 1
