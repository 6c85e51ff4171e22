SELECT id, data->>'name' AS name, data->'who'->>'city' AS city, json_get_int(data, 'n') AS n, json_get_float(data, 'x') AS x,
       json_get_bool(data, 'ok') AS ok, json_length(data, 'list') AS items, data->'list'->>1 AS second, data->>'name' IS NULL AS nameless
FROM events
