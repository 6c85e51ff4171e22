SELECT who, approx_median(value) AS middle, approx_distinct(value) AS kinds FROM events GROUP BY who
