//! Projects that servers are started on, written as users write them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A project with a stream that no table reads: clients make those that are measured.
const EMPTY: &str = r#"[project]
name = "load"

[stream.idle]
from = ["http"]

[stream.idle.columns]
id = "text"
"#;

/// The same, where every request needs a signature.
const KEY: &str = r#"
[project.keys.load]
secret = "${LOAD_SECRET}"
may    = ["read", "write", "manage"]
"#;

/// The access key id of [`KEY`].
pub(crate) const KEY_ID: &str = "load";

/// Writes a project without tables below `folder`.
pub(crate) fn empty(folder: &Path, has_key: bool) -> anyhow::Result<PathBuf> {
    let text = if has_key { format!("{EMPTY}{KEY}") } else { EMPTY.to_owned() };
    write(folder, &[("mainstem.toml", &text)])
}

const KEYS: &str = r#"[project]
name = "keys"

[stream.orders]
time   = "ts"
key    = "customer"
replay = "1 hour"

[stream.orders.columns]
customer = "int not null"
ts       = "timestamp not null"
order_id = "int not null"
total    = "decimal(12,2)"

[table.history]
serve = { key = "customer", sort = "ts" }
sql   = "SELECT customer, ts, order_id, total FROM orders"
"#;

/// Writes a project with a table that is read by key.
pub(crate) fn keys(folder: &Path) -> anyhow::Result<PathBuf> {
    write(folder, &[("mainstem.toml", KEYS)])
}

const SHOP: &str = r#"[project]
name = "shop"

[stream.orders]
from = ["http"]
time = "ts"
key  = "customer_id"

[stream.orders.columns]
order_id    = "text not null"
ts          = "timestamp not null"
customer_id = "text"
product_id  = "text"
region      = "text"
quantity    = "int"
unit_price  = "decimal(10,2)"
total       = "decimal(12,2)"

[stream.orders.checks]
price_is_positive = "unit_price > 0 AND quantity > 0"
total_is_right    = "abs(total - unit_price * quantity) < 0.01"

[lookup.products]
from = "products.csv"
key  = "product_id"

[table.orders_clean]
sql = "SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.quantity, o.total, p.name AS product_name, p.category FROM orders o LEFT JOIN products p ON p.product_id = o.product_id"

[table.sales_by_minute]
late = "10 minutes"
sql  = "SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, sum(total) AS revenue FROM orders_clean GROUP BY minute, region, category"
"#;

/// Writes the shop's pipeline: checks, a lookup, rows and windows.
pub(crate) fn shop(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut products = "product_id,name,category\n".to_owned();
    for number in 1..=500 {
        let category = number % 12;
        writeln!(products, "p{number},product {number},category {category}")?;
    }
    write(folder, &[("mainstem.toml", SHOP), ("products.csv", &products)])
}

fn write(folder: &Path, files: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    let project = folder.join("project");
    fs::create_dir_all(&project)?;
    for (name, text) in files {
        fs::write(project.join(name), text)?;
    }
    Ok(project)
}
