SELECT id, 100 / value AS share, place FROM (
    SELECT id, value, row_number() OVER (ORDER BY id DESC) AS place FROM events
) x WHERE place <= 3
