SELECT state, count(*) AS n, count(until) AS ended, max(until) AS newest FROM spans GROUP BY state
