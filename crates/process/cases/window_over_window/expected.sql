-- Ten minutes out of minutes: a late row corrects the minute, and by it the ten minutes and their greatest minute.

CREATE VIEW by_minute AS
SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n, sum(value) AS total FROM events GROUP BY minute, who;

CREATE VIEW by_ten_minutes AS
SELECT tumble(minute, '10 minutes') AS start, who, count(*) AS minutes, sum(n) AS n, max(total) AS most, avg(total) AS mean
FROM by_minute GROUP BY start, who;
