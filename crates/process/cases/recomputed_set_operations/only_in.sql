SELECT who, place FROM events WHERE kind = 'in' EXCEPT SELECT who, place FROM events WHERE kind = 'out'
