SELECT id, value FROM events WHERE value > (SELECT avg(value) FROM events)
