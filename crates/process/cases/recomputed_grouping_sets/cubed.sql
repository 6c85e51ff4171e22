SELECT who, flag, count(*) AS n FROM events GROUP BY CUBE (who, flag)
