SELECT ts, who, value AS amount, 'event' AS origin FROM events WHERE value > 0
UNION ALL
SELECT ts, upper(person), -cost, 'bill' FROM bills
