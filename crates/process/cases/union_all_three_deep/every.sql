SELECT id, 'small' AS size FROM lefts WHERE value < 10 UNION ALL SELECT id, 'odd' FROM lefts WHERE value % 2 = 1
UNION ALL SELECT id, 'right' FROM rights
