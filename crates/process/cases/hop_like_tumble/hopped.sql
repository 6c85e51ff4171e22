SELECT hop(ts, '2 minutes', '2 minutes') AS start, lower(who) AS name, sum(value) + 1 AS more, coalesce(max(place), '-') AS place
FROM events WHERE value <> 3 GROUP BY start, name
