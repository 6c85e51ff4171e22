-- For each place the two who spent most in all, with their share of the place.

CREATE VIEW totals AS
SELECT place, who, sum(amount) AS total FROM events GROUP BY place, who;

CREATE VIEW best AS
SELECT place, who, total, of_place FROM (
    SELECT place, who, total, sum(total) OVER (PARTITION BY place) AS of_place,
           row_number() OVER (PARTITION BY place ORDER BY total DESC, who) AS rank FROM totals
) x WHERE rank <= 2;
