SELECT coalesce(nullif(trim(who), ''), 'nobody') AS name, value FROM events WHERE value IS NOT NULL
