SELECT who, max(total) AS most, min(total) AS least, count(*) AS minutes, avg(total) AS mean FROM minutes GROUP BY who
