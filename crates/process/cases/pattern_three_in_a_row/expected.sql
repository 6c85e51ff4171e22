-- Three failures of one user in a row, with no success between, within five minutes; a late success breaks the row.

CREATE VIEW alarms AS
SELECT id, who FROM (
    SELECT id, who, ts, state, lag(state) OVER w AS one, lag(state, 2) OVER w AS two, lag(ts, 2) OVER w AS began
    FROM events WINDOW w AS (PARTITION BY who ORDER BY ts, id)
) x WHERE state = 'fail' AND one = 'fail' AND two = 'fail' AND ts - began <= INTERVAL '5 minutes';
