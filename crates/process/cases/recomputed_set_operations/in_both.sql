SELECT who, place FROM events WHERE kind = 'in' INTERSECT SELECT who, place FROM events WHERE kind = 'out'
