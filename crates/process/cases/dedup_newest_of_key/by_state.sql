SELECT state, count(*) AS n FROM newest GROUP BY state
