SELECT id, 100 / value AS share FROM events
