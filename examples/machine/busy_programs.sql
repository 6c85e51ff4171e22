/*
layer = "kpi"
description = "The ten programs that used most of the processor in the newest five minutes."
*/
SELECT program, avg(percent) AS percent, max(memory) AS memory
FROM programs_by_minute
WHERE minute > (SELECT max(minute) FROM programs_by_minute) - INTERVAL '5 minutes'
GROUP BY program
ORDER BY percent DESC, program
LIMIT 10
