SELECT id, value FROM events
