-- Whole numbers divide to whole numbers, decimals stay exact, floats do not: signs, remainders, rounding half away from
-- zero, powers.

CREATE VIEW numbers AS
SELECT id, value // 2 AS half, value % 3 AS rest, -value AS negative, abs(value) AS size, sign(ratio) AS sign, round(ratio) AS whole,
       floor(ratio) AS down, ceil(ratio) AS up, amount * 2 AS twice, amount + 1 AS more, round(amount, 1) AS tenths,
       power(2.0::double, 3) AS eight, sqrt(abs(ratio)) AS root, value & 6 AS bits
FROM events;
