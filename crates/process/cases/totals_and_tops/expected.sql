-- Running totals over rows joined with a lookup, and a table of the best that is recomputed.

CREATE VIEW totals AS
SELECT section, count(*) AS clicks, count(DISTINCT user_id) AS users, sum(weight) AS weight
FROM clicks JOIN pages USING (page) GROUP BY section;

CREATE VIEW busiest AS SELECT section, clicks FROM totals ORDER BY clicks DESC, section LIMIT 1;
