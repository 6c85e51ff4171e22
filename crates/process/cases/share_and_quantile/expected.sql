-- Shares of a total, quarters and the distance from the greatest: window functions without an order, and with one.

CREATE VIEW totals AS SELECT who, sum(amount) AS total FROM events GROUP BY who;

CREATE VIEW shares AS
SELECT who, total, round(CAST(total AS DOUBLE) / CAST(sum(total) OVER () AS DOUBLE), 6) AS share, ntile(2) OVER (ORDER BY total, who) AS half,
       max(total) OVER () - total AS behind, first_value(who) OVER (ORDER BY total DESC, who) AS leader
FROM totals WHERE total > 0;
