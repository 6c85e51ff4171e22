SELECT id, value FROM (
    SELECT id, value, row_number() OVER (ORDER BY 100 / value DESC NULLS LAST) AS place FROM events
) x WHERE place <= 2
