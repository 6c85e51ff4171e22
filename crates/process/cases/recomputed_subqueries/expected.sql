-- Subqueries in SELECT, WHERE and HAVING, one of them about the row itself; what they say changes with every batch.

CREATE VIEW above AS
SELECT id, value FROM events WHERE value > (SELECT avg(value) FROM events);

CREATE VIEW newest AS
SELECT id, who FROM events e WHERE ts = (SELECT max(ts) FROM events b WHERE b.who = e.who);

CREATE VIEW shares AS
SELECT who, sum(value) AS total, (SELECT sum(value) FROM events) AS overall FROM events GROUP BY who HAVING sum(value) > (SELECT min(value) FROM events);
