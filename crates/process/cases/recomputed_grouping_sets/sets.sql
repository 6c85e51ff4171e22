SELECT tumble(ts, '1 minute') AS minute, who, count(*) AS n FROM events GROUP BY GROUPING SETS ((tumble(ts, '1 minute')), (who))
