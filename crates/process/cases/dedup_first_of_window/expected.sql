-- Of the rows with one code within ten minutes only the first by time counts; the first may come last, and ties go by id.

CREATE VIEW once AS
SELECT id, ts, code, value FROM (
    SELECT id, ts, code, value, row_number() OVER (PARTITION BY code, tumble(ts, '10 minutes') ORDER BY ts, id) AS place FROM events
) x WHERE place = 1;

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n, sum(value) AS total FROM once GROUP BY minute;
