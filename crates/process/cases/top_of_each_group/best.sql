SELECT place, who, total, of_place FROM (
    SELECT place, who, total, sum(total) OVER (PARTITION BY place) AS of_place,
           row_number() OVER (PARTITION BY place ORDER BY total DESC, who) AS rank FROM totals
) x WHERE rank <= 2
