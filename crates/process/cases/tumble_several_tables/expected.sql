-- Four tables over one stream, each with another size and another patience; all see every row once.

CREATE VIEW quick AS
SELECT tumble(ts, '10 seconds') AS start, count(*) AS n, sum(value) AS total FROM events GROUP BY start;

CREATE VIEW patient AS
SELECT tumble(ts, '10 seconds') AS start, count(*) AS n, sum(value) AS total FROM events GROUP BY start;

CREATE VIEW by_who AS
SELECT tumble(ts, '1 minute') AS start, who, count(*) AS n FROM events GROUP BY start, who;

CREATE VIEW flagged AS
SELECT tumble(ts, '1 minute') AS start, count(*) AS n FROM events WHERE flag GROUP BY start;
