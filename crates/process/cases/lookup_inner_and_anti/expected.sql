-- Rows that a lookup knows, rows that it does not (a NULL key is not known), and a key that is computed.

CREATE VIEW known AS
SELECT e.id, s.region FROM events e JOIN shops s ON s.place = lower(trim(e.place));

CREATE VIEW unknown AS
SELECT e.id, e.place FROM events e LEFT JOIN shops s ON s.place = e.place WHERE s.place IS NULL;

CREATE VIEW in_them AS
SELECT id FROM events WHERE place IN (SELECT place FROM shops WHERE weight IS NOT NULL);

CREATE VIEW not_there AS
SELECT id FROM events e WHERE NOT EXISTS (SELECT 1 FROM shops s WHERE s.place = e.place);
