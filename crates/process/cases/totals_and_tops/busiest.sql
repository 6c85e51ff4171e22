SELECT section, clicks FROM totals ORDER BY clicks DESC, section LIMIT 1
