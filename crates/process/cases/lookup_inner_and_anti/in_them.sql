SELECT id FROM events WHERE place IN (SELECT place FROM shops WHERE weight IS NOT NULL)
