SELECT count(*) AS n FROM (SELECT DISTINCT place FROM events) x
