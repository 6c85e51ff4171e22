-- Parts of times, truncated times, sums with intervals and days: over a leap day, the end of a year, and before 1970.

CREATE VIEW times AS
SELECT id, date_trunc('hour', ts) AS hour, CAST(date_trunc('month', ts) AS TIMESTAMP) AS month, extract(year FROM ts) AS year, extract(doy FROM ts) AS day_of_year,
       extract(hour FROM ts) AS hours, ts + INTERVAL '1 day' AS tomorrow, CAST(ts AS DATE) AS day_of, day AS given,
       ts < TIMESTAMP '1970-01-01' AS is_old, strftime(ts, '%Y-%m-%d %H:%M:%S') AS written
FROM events;
