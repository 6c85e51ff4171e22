SELECT coalesce(o.minute, r.minute) AS minute, coalesce(o.who, r.who) AS who, coalesce(r.total, 0) - coalesce(o.total, 0) AS balance
FROM ordered o FULL JOIN received r ON o.minute = r.minute AND o.who = r.who
