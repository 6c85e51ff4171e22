SELECT tumble(ts, '1 minute') AS minute, who, sum(amount) AS total FROM payments GROUP BY minute, who
