SELECT id, CASE WHEN value > 10 THEN 'large' WHEN value > 0 THEN 'small' END AS size,
       CASE who WHEN 'a' THEN 1 WHEN NULL THEN 2 ELSE 3 END AS number, coalesce(who, place, '?') AS known,
       nullif(value, 0) AS not_zero, greatest(value, 5, code) AS most, least(value, code) AS least,
       flag AND value > 0 AS all_true, flag OR value > 0 AS any_true, value IS DISTINCT FROM code AS differs, who IN ('a', NULL) AS is_in
FROM events WHERE NOT (coalesce(value, 0) = 99)
