-- EXCEPT and INTERSECT compare whole rows, NULLs alike; the answer shrinks when a row comes.

CREATE VIEW only_in AS
SELECT who, place FROM events WHERE kind = 'in' EXCEPT SELECT who, place FROM events WHERE kind = 'out';

CREATE VIEW in_both AS
SELECT who, place FROM events WHERE kind = 'in' INTERSECT SELECT who, place FROM events WHERE kind = 'out';
