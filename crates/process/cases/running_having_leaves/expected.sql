-- A key leaves what HAVING lets through and comes back; the table above must forget it in between.

CREATE VIEW rich AS
SELECT who, sum(amount) AS total FROM events GROUP BY who HAVING sum(amount) >= 10;

CREATE VIEW counted AS
SELECT count(*) AS n, sum(total) AS total FROM rich;
