/*
description = "Local items: who sells in category 10 in Oregon, Idaho or California, and what."
every = "5 seconds"
*/
SELECT p.name, p.city, p.state, a.id
FROM auction a JOIN person p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')
