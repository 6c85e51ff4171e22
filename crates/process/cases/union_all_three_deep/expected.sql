-- The same table twice and another once, each filtered in its own way; UNION without ALL drops what is twice.

CREATE VIEW every AS
SELECT id, 'small' AS size FROM lefts WHERE value < 10 UNION ALL SELECT id, 'odd' FROM lefts WHERE value % 2 = 1
UNION ALL SELECT id, 'right' FROM rights;

CREATE VIEW people AS
SELECT who FROM lefts UNION SELECT who FROM rights;
