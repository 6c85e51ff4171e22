SELECT e.id, s.region FROM events e JOIN shops s ON s.place = lower(trim(e.place))
