SELECT who, count(*) AS n FROM settled WHERE payment_id IS NULL GROUP BY who
