/*
late = "1 minute"
*/
SELECT tumble(moved, '1 minute') AS minute, person, sum(twice) AS total FROM clean GROUP BY minute, person
