-- Letters are counted, not bytes: cutting, padding, finding, replacing and matching with accents and signs beyond the
-- first plane.

CREATE VIEW texts AS
SELECT id, length(text) AS letters, upper(text) AS upper, substr(text, 2, 3) AS cut, left(text, 1) AS first, reverse(text) AS reversed,
       replace(text, 'a', 'é') AS replaced, lpad(text, 6, '·') AS padded, strpos(text, 'é') AS found, trim(text) AS trimmed,
       text LIKE '%é_' AS liked, split_part(text, ',', 2) AS second, text || '!' AS louder, concat(text, '-', who) AS joined
FROM events;
