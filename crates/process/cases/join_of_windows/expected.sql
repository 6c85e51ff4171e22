-- Two tables of windows, of two streams, joined by window and key; a side that is missing is 0 in a full outer join.

CREATE VIEW ordered AS
SELECT tumble(ts, '1 minute') AS minute, who, sum(amount) AS total FROM orders GROUP BY minute, who;

CREATE VIEW received AS
SELECT tumble(ts, '1 minute') AS minute, who, sum(amount) AS total FROM payments GROUP BY minute, who;

CREATE VIEW balance AS
SELECT coalesce(o.minute, r.minute) AS minute, coalesce(o.who, r.who) AS who, coalesce(r.total, 0) - coalesce(o.total, 0) AS balance
FROM ordered o FULL JOIN received r ON o.minute = r.minute AND o.who = r.who;
