-- DISTINCT over expressions: NULL equals NULL, cases are folded, and a value seen in four batches is one row.

CREATE VIEW pairs AS SELECT DISTINCT lower(who) AS who, CAST(trunc(value / 10) AS BIGINT) AS tens FROM events;
CREATE VIEW places AS SELECT count(*) AS n FROM (SELECT DISTINCT place FROM events) x;
