-- Windows over two streams put together: a minute has rows of one, of the other, of both.

CREATE VIEW every AS
SELECT ts, who, value FROM lefts UNION ALL SELECT ts, who, value * 10 FROM rights;

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total FROM every GROUP BY minute, who;
