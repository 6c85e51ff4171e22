SELECT place, who, sum(amount) AS total FROM events GROUP BY place, who
