SELECT e.id, e.place FROM events e LEFT JOIN shops s ON s.place = e.place WHERE s.place IS NULL
