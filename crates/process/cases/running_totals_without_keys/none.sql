SELECT count(*) AS n, min(value) AS least FROM events WHERE who = 'nobody'
