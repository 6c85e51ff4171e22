/*
description = "Invoice lines with plain names, their revenue, and whether they are cancellations."
partition   = "month(sold_at)"
*/
SELECT "InvoiceNo" AS invoice, "StockCode" AS stock_code, "Description" AS description, "Quantity" AS quantity,
       "InvoiceDate" AS sold_at, "UnitPrice" AS unit_price, "CustomerID" AS customer, "Country" AS country,
       "Quantity" * "UnitPrice" AS revenue, starts_with("InvoiceNo", 'C') AS cancelled
FROM invoices
