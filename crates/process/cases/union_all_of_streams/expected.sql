-- Rows of two streams, duplicates and all, beside each other; one of them begins late and its columns are made alike.

CREATE VIEW every AS
SELECT ts, who, value AS amount, 'event' AS origin FROM events WHERE value > 0
UNION ALL
SELECT ts, upper(person), -cost, 'bill' FROM bills;

CREATE VIEW by_who AS
SELECT who, count(*) AS n, sum(amount) AS total, count(DISTINCT origin) AS origins FROM every GROUP BY who;
