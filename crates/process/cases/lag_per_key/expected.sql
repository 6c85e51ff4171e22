-- Each row beside the one before it of the same key: a row that comes late goes between two others and changes both.

CREATE VIEW steps AS
SELECT id, who, value - lag(value) OVER (PARTITION BY who ORDER BY ts, id) AS change,
       lag(value, 2, -1) OVER (PARTITION BY who ORDER BY ts, id) AS two_before
FROM events;
