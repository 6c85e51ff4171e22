-- Running totals of windows: the greatest minute ever may become smaller when a row corrects it.

CREATE VIEW minutes AS
SELECT tumble(ts, '1 minute') AS minute, who, sum(value) AS total FROM events GROUP BY minute, who;

CREATE VIEW records AS
SELECT who, max(total) AS most, min(total) AS least, count(*) AS minutes, avg(total) AS mean FROM minutes GROUP BY who;

CREATE VIEW overall AS
SELECT sum(most) AS mosts, count(*) AS people FROM records;
