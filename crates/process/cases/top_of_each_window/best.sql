SELECT minute, who, total, place FROM (
    SELECT minute, who, total, row_number() OVER (PARTITION BY minute ORDER BY total DESC NULLS LAST, who NULLS FIRST) AS place FROM by_minute
) x WHERE place <= 2
