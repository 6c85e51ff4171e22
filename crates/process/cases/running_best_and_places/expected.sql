-- Ranks and the first few of running totals, and of all rows: looked at again after every tick.

CREATE VIEW best AS
SELECT who, sum(value) AS total, count(*) AS n FROM events GROUP BY who ORDER BY total DESC NULLS LAST, who LIMIT 2;

CREATE VIEW places AS
SELECT who, total, rank() OVER (ORDER BY total DESC NULLS LAST) AS place FROM (SELECT who, sum(value) AS total FROM events GROUP BY who) x;

CREATE VIEW largest AS
SELECT id, value FROM events ORDER BY value DESC NULLS LAST, id LIMIT 4;
