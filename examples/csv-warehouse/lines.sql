/*
description = "Lines of invoices with their revenue, and whether they are cancellations."
layer       = "raw"
partition   = "month(invoice_date)"
*/
SELECT invoice_no, stock_code, description, quantity, invoice_date, unit_price, customer_id, country,
       quantity * unit_price AS revenue, starts_with(invoice_no, 'C') AS cancelled
FROM sales
