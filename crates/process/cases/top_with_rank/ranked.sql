SELECT who, total, wide, close FROM (
    SELECT who, total, rank() OVER (ORDER BY total DESC) AS wide, dense_rank() OVER (ORDER BY total DESC) AS close
    FROM totals WHERE total IS NOT NULL
) x WHERE close <= 2
