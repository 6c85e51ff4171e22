SELECT tumble(start, '1 hour') AS hour, count(*) AS visits, sum(n) AS n, max(n) AS longest FROM visits GROUP BY hour
