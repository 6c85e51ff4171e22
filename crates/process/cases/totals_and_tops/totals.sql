SELECT section, count(*) AS clicks, count(DISTINCT user_id) AS users, sum(weight) AS weight
FROM named GROUP BY section
