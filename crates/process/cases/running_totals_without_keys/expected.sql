-- One row for everything, there from the beginning; HAVING may take it away, FILTER may find nothing.

CREATE VIEW overall AS
SELECT count(*) AS n, sum(value) AS total, count(*) FILTER (WHERE flag) AS flagged, max(value) FILTER (WHERE value < 0) AS debt FROM events;

CREATE VIEW none AS
SELECT count(*) AS n, min(value) AS least FROM events WHERE who = 'nobody';

CREATE VIEW gated AS
SELECT sum(value) AS total FROM events HAVING sum(value) > 10;
