/*
late = "dead"
*/
SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM events WHERE who <> 'beat' GROUP BY minute
