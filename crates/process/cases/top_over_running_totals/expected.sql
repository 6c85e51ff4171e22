-- The three best of all time, a place for each: who leads changes with every batch and falls back by negative values.

CREATE VIEW totals AS
SELECT who, sum(value) AS total, count(*) AS n FROM events GROUP BY who;

CREATE VIEW best AS
SELECT who, total, row_number() OVER (ORDER BY total DESC, who) AS place FROM totals ORDER BY total DESC, who LIMIT 3;
