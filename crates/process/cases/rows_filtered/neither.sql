SELECT id FROM events WHERE value > 5 AND value < 5
