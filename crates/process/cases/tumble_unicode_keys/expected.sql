-- Keys that look alike are different: composed and decomposed letters, cases, spaces, signs beyond the first plane; a key
-- of 300 letters.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total FROM events GROUP BY minute, who;
