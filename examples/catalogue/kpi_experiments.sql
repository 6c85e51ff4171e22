/*
description = "Experiments with the number and size of their files."
layer       = "kpi"
*/
SELECT experiment, count(*) AS files, sum(size) AS size, max(created) AS newest
FROM files
GROUP BY experiment
