SELECT m.minute, m.who, m.total, h.total AS of_hour, round(CAST(m.total AS FLOAT) / h.total, 6) AS share
FROM minutes m JOIN hours h ON h.who = m.who AND h.hour = tumble(m.minute, '1 hour') WHERE h.total <> 0
