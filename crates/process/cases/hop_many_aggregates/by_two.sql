SELECT hop(ts, '1 minute', '2 minutes') AS start, who, count(DISTINCT place) AS places, avg(ratio) AS mean, stddev(ratio) AS deviation,
       median(ratio) AS middle, min(place) AS least, max(ts) AS newest, count(*) FILTER (WHERE flag) AS flagged, bool_and(flag) AS every_flag
FROM events GROUP BY start, who HAVING count(*) > 1
