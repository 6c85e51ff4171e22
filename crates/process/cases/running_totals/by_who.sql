SELECT who, place, count(*) AS n, sum(amount) AS total, avg(ratio) AS mean, min(ts) AS first, max(ts) AS last,
       count(DISTINCT value) AS kinds, stddev(ratio) AS deviation, median(ratio) AS middle
FROM events GROUP BY who, place
