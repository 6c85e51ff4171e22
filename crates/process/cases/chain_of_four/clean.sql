SELECT ts, upper(place) AS place, amount FROM events WHERE amount IS NOT NULL
