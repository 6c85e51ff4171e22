-- Sums of each pair, each one and all together by ROLLUP, CUBE and GROUPING SETS; a NULL key is not the NULL of a sum.

CREATE VIEW rolled AS
SELECT who, place, grouping(place) AS over_places, sum(value) AS total FROM events GROUP BY ROLLUP (who, place);

CREATE VIEW cubed AS
SELECT who, flag, count(*) AS n FROM events GROUP BY CUBE (who, flag);

CREATE VIEW sets AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n FROM events GROUP BY GROUPING SETS ((tumble(ts, '1 minute')), (who));
