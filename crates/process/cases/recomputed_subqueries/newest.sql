SELECT id, who FROM events e WHERE ts = (SELECT max(ts) FROM events b WHERE b.who = e.who)
