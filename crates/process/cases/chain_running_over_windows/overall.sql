SELECT sum(most) AS mosts, count(*) AS people FROM records
