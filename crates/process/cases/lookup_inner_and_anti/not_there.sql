SELECT id FROM events e WHERE NOT EXISTS (SELECT 1 FROM shops s WHERE s.place = e.place)
