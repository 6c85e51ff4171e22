-- Records that do not fit their columns are dead letters and cost their neighbours nothing: a missing column, a wrong
-- type, a decimal that would be rounded.

CREATE VIEW totals AS SELECT count(*) AS n, sum(amount) AS total FROM events;
CREATE VIEW events__dead AS SELECT 'decode' AS kind, 'dead' AS state FROM events__broken;
