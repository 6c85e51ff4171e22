/*
layer = "reporting"
late  = "1 day"
*/
SELECT tumble(invoice_date, '1 day') AS day, count(*) AS lines, count(DISTINCT invoice_no) AS invoices, sum(revenue) AS revenue
FROM lines
GROUP BY day
