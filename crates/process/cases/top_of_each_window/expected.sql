-- The two best of each minute over a windowed table; ties go by name, NULL is a name, a late row overtakes.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, sum(value) AS total FROM events GROUP BY minute, who;

CREATE VIEW best AS
SELECT minute, who, total, place FROM (
    SELECT minute, who, total, row_number() OVER (PARTITION BY minute ORDER BY total DESC NULLS LAST, who NULLS FIRST) AS place FROM by_minute
) x WHERE place <= 2;
