SELECT session(ts, '30 minutes') AS start, who, count(*) AS n, count(DISTINCT place) AS places, avg(ratio) AS mean, min(place) AS least,
       first_value(place ORDER BY ts) AS entry, last_value(place ORDER BY ts) AS exit, count(*) FILTER (WHERE flag) AS flagged
FROM events WHERE who IS NOT NULL GROUP BY start, who HAVING count(*) > 1
