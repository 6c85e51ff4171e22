SELECT hour, place, total FROM (SELECT hour, place, total, row_number() OVER (PARTITION BY hour ORDER BY total DESC, place) AS rank FROM hours) r WHERE rank <= 2
