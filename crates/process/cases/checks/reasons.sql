SELECT "check" AS reason, count(*) AS n FROM events__dead GROUP BY "check"
