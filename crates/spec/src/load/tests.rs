//! Whole projects, right and wrong.

use expect_test::{Expect, expect};

use crate::{Faults, Project, load_texts};

pub(crate) const SHOP: &[(&str, &str)] = &[
    (
        "mainstem.toml",
        r#"[project]
name  = "shop"

[stream.orders]                     # HTTP POST, the Kinesis API and Kafka all write into it
time = "ts"                         # event time
key  = "customer_id"                # order is kept per key
replay = "7 days"                   # how long records stay replayable; rows are kept for ever

[stream.orders.columns]
order_id    = "text not null"
ts          = "timestamp not null"
customer_id = "text"
product_id  = "text"
region      = "text"
quantity    = "int"
unit_price  = "decimal(10,2)"
total       = "decimal(12,2)"

[stream.orders.checks]              # a row that fails one goes to the table orders__dead, with the reason
price_is_positive = "unit_price > 0 AND quantity > 0"
total_is_right    = "abs(total - unit_price * quantity) < 0.01"

[lookup.products]
from  = "products.csv"
key   = "product_id"
every = "1 hour"

[alert.sales_spike]                 # one row = one alert; it resolves when the row is gone
sql = '''
SELECT region, minute, revenue, usual FROM sales_against_usual WHERE revenue > 3 * usual
'''
key    = ["region"]
notify = ["oncall"]
title  = "Sales spike in {region}: {revenue} in one minute, usually {usual}"

[notify.oncall]
webhook = "${ONCALL_WEBHOOK}"

[dashboard.sales]
title = "Sales now"

[[dashboard.sales.chart]]
title = "Revenue per minute"
type  = "line"
from  = "sales_by_minute"
x     = "minute"
y     = "revenue"
by    = "region"
last  = "2 hours"
"#,
    ),
    (
        "orders_clean.sql",
        r#"/*
partition = "day(ts)"
keep      = "5 years"
*/
SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.quantity, o.total, p.name AS product_name, p.category
FROM orders o LEFT JOIN products p ON p.product_id = o.product_id
"#,
    ),
    (
        "sales_by_minute.sql",
        r#"/*
layer = "reporting"
late  = "10 minutes"
*/
SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, sum(total) AS revenue
FROM orders_clean
GROUP BY minute, region, category
"#,
    ),
    (
        "sales_against_usual.sql",
        r#"SELECT minute, region, sum(revenue) AS revenue,
       avg(sum(revenue)) OVER (PARTITION BY region ORDER BY minute ROWS BETWEEN 60 PRECEDING AND 1 PRECEDING) AS usual
FROM sales_by_minute
GROUP BY minute, region
"#,
    ),
    (
        "tests/orders.toml",
        r#"[test.a_bad_price_is_rejected_and_not_counted]
given.orders = '''
{"order_id":"1","ts":"2026-01-05T10:00:10Z","region":"fr","product_id":"p1","quantity":2,"unit_price":10,"total":20}
{"order_id":"2","ts":"2026-01-05T10:00:20Z","region":"fr","product_id":"p1","quantity":1,"unit_price":-5,"total":-5}
'''
expect.sales_by_minute = '''
{"minute":"2026-01-05T10:00:00Z","region":"FR","orders":1,"revenue":20}
'''
expect.orders__dead = '''
{"check":"price_is_positive"}
'''
"#,
    ),
    ("products.csv", "product_id,name,category\np1,boots,shoes\n"),
];

pub(crate) fn webhook(name: &str) -> Option<String> {
    (name == "ONCALL_WEBHOOK").then(|| "https://hooks.example/1".to_owned())
}

pub(crate) fn load(files: &[(&str, &str)], env: Option<&str>) -> Result<Project, Faults> {
    load_texts(files, env, &webhook)
}

/// Compares the faults of a project of one TOML file.
pub(crate) fn check(toml: &str, expected: Expect) {
    check_all(&[("mainstem.toml", toml)], expected);
}

pub(crate) fn check_all(files: &[(&str, &str)], expected: Expect) {
    let faults = match load(files, None) {
        Ok(project) => project.warnings,
        Err(faults) => faults,
    };
    expected.assert_eq(&faults.to_string());
}

/// Writes what a project declares, a line each.
pub(crate) fn summary(project: &Project) -> String {
    let mut lines = vec![format!("project {}", project.name)];
    for it in project.streams.values() {
        lines.push(format!(
            "stream {} time={:?} key={:?} replay={} {} keep={:?} shards={} idle={} {:?}",
            it.name,
            it.time,
            it.key,
            it.replay,
            it.replay_size,
            it.keep,
            it.shards,
            it.idle,
            it.from
        ));
        for column in &it.columns {
            let null = if column.not_null { " not null" } else { "" };
            lines.push(format!("  {} {}{null}", column.name, column.kind));
        }
        lines.extend(it.checks.iter().map(|it| format!("  check {}: {:?}", it.name, it.sql)));
    }
    for it in project.lookups.values() {
        lines.push(format!("lookup {} {:?} {:?} {:?}", it.name, it.from, it.key, it.every));
    }
    for name in project.order() {
        let it = &project.tables[&name];
        lines.push(format!("table {name} {:?} {:?}", it.reads, it.reads_beside));
        let partition = it.partition.as_ref().map(|it| (&it.column, it.unit));
        lines.push(format!(
            "  {:?} {:?} {partition:?} keep={:?} every={:?} publish={}",
            it.layer, it.late, it.keep, it.every, it.publish
        ));
        lines.push(format!("  {}", it.sql.text.lines().next().unwrap_or_default()));
        let checks = it.checks.iter();
        lines.extend(checks.map(|it| format!("  check {} {:?}", it.name, it.severity)));
    }
    for it in project.alerts.values() {
        lines.push(format!(
            "alert {} {:?} key={:?} notify={:?} for={} {:?} title={:?}",
            it.name, it.reads, it.key, it.notify, it.hold, it.on, it.title_columns
        ));
    }
    for it in project.notifies.values() {
        lines.push(format!("notify {} {:?} {:?} {}", it.name, it.webhook, it.format, it.log));
    }
    for it in project.dashboards.values() {
        for chart in &it.charts {
            lines.push(format!(
                "chart {:?} {:?} x={:?} y={:?} by={:?} last={:?}",
                chart.kind, chart.from, chart.x, chart.y, chart.by, chart.last
            ));
        }
    }
    for it in project.tests.values() {
        lines.push(format!("test {}", it.name));
        lines.extend(it.given.iter().map(|(name, it)| format!("  given {name}: {}", it.len())));
        lines.extend(it.expect.iter().map(|(name, it)| format!("  expect {name}: {}", it.len())));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_shop_loads() {
    let project = load(SHOP, None).unwrap_or_else(|it| panic!("{}", it.render(false)));
    assert!(project.warnings.is_empty(), "{}", project.warnings);
    expect![[r#""#]].assert_eq(&summary(&project));
}
