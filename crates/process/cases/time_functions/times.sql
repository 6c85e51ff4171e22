SELECT id, date_trunc('hour', ts) AS hour, date_trunc('month', ts) AS month, extract(year FROM ts) AS year, extract(doy FROM ts) AS day_of_year,
       extract(hour FROM ts) AS hours, ts + INTERVAL '1 day' AS tomorrow, CAST(ts AS DATE) AS day_of, day AS given,
       ts < TIMESTAMP '1970-01-01T00:00:00Z' AS is_old, to_char(ts, 'YYYY-MM-DD HH24:MI:SS') AS written
FROM events
