//! What is told of a change, from two projects as text.

use std::collections::BTreeMap;

use expect_test::expect;
use process::Plan;

use super::*;

const SHOP: &[(&str, &str)] = &[
    (
        "mainstem.toml",
        r#"
[project]
name = "shop"

[stream.orders]
time = "ts"

[stream.orders.columns]
id     = "int not null"
ts     = "timestamp not null"
region = "text"
total  = "decimal(10,2)"

[stream.orders.checks]
is_positive = "total > 0"

[lookup.regions]
from = "regions.csv"
key  = "region"

[alert.high]
sql = "SELECT region, minute, revenue FROM by_minute WHERE revenue > 100"
key = ["region"]

[dashboard.sales]
title = "Sales"

[[dashboard.sales.chart]]
type = "line"
from = "by_minute"
x    = "minute"
y    = "revenue"
"#,
    ),
    ("regions.csv", "region,country\nfr,France\n"),
    (
        "clean.sql",
        "SELECT o.id, o.ts, upper(o.region) AS region, o.total, r.country FROM orders o LEFT JOIN regions r ON r.region = o.region",
    ),
    (
        "by_minute.sql",
        "SELECT tumble(ts, '1 minute') AS minute, region, sum(total) AS revenue FROM clean GROUP BY minute, region",
    ),
    ("by_region.sql", "SELECT region, count(*) AS orders FROM orders GROUP BY region"),
    (
        "usual.sql",
        "SELECT minute, revenue, avg(revenue) OVER (ORDER BY minute) AS usual FROM by_minute",
    ),
];

/// A project that stays as long as this.
struct Written {
    project: Project,
    plan: Plan,
    _folder: tempfile::TempDir,
}

/// Reads the shop with some texts replaced by others, and files added; an empty file is gone.
async fn shop(replaced: &[(&str, &str)], files: &[(&str, &str)]) -> Written {
    let mut all: BTreeMap<&str, String> =
        SHOP.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    for (from, to) in replaced {
        assert!(all.values().any(|it| it.contains(from)), "{from}");
        all.values_mut().for_each(|it| *it = it.replace(from, to));
    }
    all.extend(files.iter().map(|(name, text)| (*name, (*text).to_owned())));
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in all.iter().filter(|(_, text)| !text.is_empty()) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let compiled = crate::compile::compile(folder.path(), None, false).await;
    let compiled = compiled.unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    Written { project: compiled.project, plan: compiled.plan, _folder: folder }
}

fn sizes() -> Sizes {
    let size =
        |rows, rows_per_second| Size { rows, bytes: rows * 50, rows_per_second, stale: None };
    [
        ("orders", size(1_000_000, None)),
        ("clean", size(990_000, Some(500_000.0))),
        ("by_minute", size(40_000, Some(2_000_000.0))),
    ]
    .into_iter()
    .map(|(name, it)| (name.to_owned(), it))
    .collect()
}

async fn change(replaced: &[(&str, &str)], files: &[(&str, &str)]) -> Change {
    let (running, wanted) = (shop(&[], &[]).await, shop(replaced, files).await);
    compare(running.side(), wanted.side(), &sizes())
}

impl Written {
    fn side(&self) -> Side<'_> {
        Side { project: &self.project, flows: &self.plan.flows }
    }
}

fn text(change: &Change) -> String {
    crate::cli::plan::told(change, ("apply", "shop"))
}

async fn told(replaced: &[(&str, &str)], files: &[(&str, &str)]) -> String {
    text(&change(replaced, files).await)
}

#[tokio::test]
async fn the_same_project_differs_in_nothing() {
    assert!(change(&[], &[]).await.is_nothing());
    // Other words for the same.
    let same = change(&[("SELECT region, count(*)", "SELECT  region,\n count(*)")], &[]).await;
    expect![[r#"
        shop: 1 changed

          ~ table by_region  its SELECT is written otherwise, its rows are the same

        no data moves

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&text(&same));
}

#[tokio::test]
async fn a_changed_table_takes_those_above_along() {
    expect![[r#"
        shop: 1 changed, 4 following

          ~ table clean      its SELECT
          > table by_minute  it reads `clean`
          > table usual      it reads `by_minute` and is run again
          > alert high       it reads `by_minute`
          > dashboard sales  it reads `by_minute`

        computed anew from the stored rows, then switched to in one step
          clean      from orders: 1,000,000 rows, 50 MB, about 4 seconds
          by_minute  from clean: 990,000 rows, 49.5 MB, about a second
          in all     1,990,000 rows, 99.5 MB, about 5 seconds

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&told(&[("upper(o.region)", "lower(o.region)")], &[]).await);
}

#[tokio::test]
async fn tables_come_and_go() {
    let new = ("totals.sql", "SELECT sum(total) AS total FROM orders");
    expect![[r#"
        shop: 1 new, 1 dropped

          + table totals     kept as running totals
          - table by_region  its rows stay until the next change, for `mainstem rollback`

        computed anew from the stored rows, then switched to in one step
          totals  from orders: 1,000,000 rows, 50 MB, about 7 seconds

        readers outside could trip over
          ! table `by_region` is gone

        `mainstem apply --breaking shop` does it.
    "#]]
    .assert_eq(&told(&[], &[("by_region.sql", ""), new]).await);
}

#[tokio::test]
async fn alerts_charts_and_settings_move_no_data() {
    let replaced = [
        ("revenue > 100", "revenue > 200"),
        ("title = \"Sales\"", "title = \"Sales now\""),
        ("is_positive = \"total > 0\"", "is_positive = \"total >= 0\""),
        ("time = \"ts\"", "time = \"ts\"\nreplay = \"7 days\""),
    ];
    let change = change(&replaced, &[]).await;
    assert!(change.builds.is_empty() && change.breaking.is_empty() && change.refused.is_empty());
    expect![[r#"
        shop: 3 changed

          ~ stream orders    replay: 1 day → 7 days; check `is_positive`: total > 0 → total >= 0
          ~ alert high       its SELECT
          ~ dashboard sales  title: Sales → Sales now

        no data moves

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&text(&change));
}

#[tokio::test]
async fn words_about_columns_open_nothing_anew() {
    let described = "region = { type = \"text\", description = \"where it was sold\" }";
    let (running, wanted) =
        (shop(&[], &[]).await, shop(&[("region = \"text\"", described)], &[]).await);
    let change = compare(running.side(), wanted.side(), &sizes());
    expect![[r#"
        shop: 1 changed

          ~ stream orders  its descriptions of columns

        no data moves

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&text(&change));
    let of_flow = |it: &Written| Settings::of_stream(&it.project.streams["orders"]).of_flow();
    assert_eq!(of_flow(&running), of_flow(&wanted));
}

#[tokio::test]
async fn a_column_more_moves_only_what_shows_it() {
    let more = [("region = \"text\"", "region = \"text\"\nchannel = \"text\"")];
    expect![[r#"
        shop: 1 changed

          ~ stream orders  + column `channel` text

        no data moves

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&told(&more, &[]).await);
    let all = ("everything.sql", "SELECT * FROM orders");
    let (running, wanted) = (shop(&[], &[all]).await, shop(&more, &[all]).await);
    expect![[r#"
        shop: 2 changed

          ~ stream orders     + column `channel` text
          ~ table everything  the columns it reads; + column `channel` text

        computed anew from the stored rows, then switched to in one step
          everything  from orders: 1,000,000 rows, 50 MB, about 7 seconds

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&text(&compare(running.side(), wanted.side(), &sizes())));
}

#[tokio::test]
async fn what_breaks_and_what_cannot_be_is_told() {
    let replaced = [
        ("id     = \"int not null\"", "id     = \"text not null\""),
        ("time = \"ts\"", "time = \"ts\"\nshards = 4"),
        ("count(*) AS orders", "count(*) AS n"),
    ];
    expect![[r#"
        shop: 3 changed, 4 following

          ~ stream orders    column `id` int → text; shards: 1 → 4
          ~ table by_region  its SELECT; + column `n` int; - column `orders` int
          ~ table clean      the columns it reads; column `id` int → text
          > table by_minute  it reads `clean`
          > table usual      it reads `by_minute` and is run again
          > alert high       it reads `by_minute`
          > dashboard sales  it reads `by_minute`

        computed anew from the stored rows, then switched to in one step
          by_region  from orders: 1,000,000 rows, 50 MB, about 7 seconds
          clean      from orders: 1,000,000 rows, 50 MB, about 4 seconds
          by_minute  from clean: 990,000 rows, 49.5 MB, about a second
          in all     2,990,000 rows, 149.5 MB, about 12 seconds

        readers outside could trip over
          ! column `id` of stream `orders` is text, no longer int
          ! table `by_region` has no column `orders` any more
          ! column `id` of table `clean` is text, no longer int

        refused
          ! stream `orders`: column `id` is stored as long and cannot become string without losing values; give the new column another name, or move the table's folder away and let the table be made again
    "#]].assert_eq(&told(&replaced, &[]).await);
    let wider =
        [("decimal(10,2)", "decimal(12,2)"), ("region = \"text\"", "region = \"text not null\"")];
    expect![[r#"
        shop: 2 changed, 4 following

          ~ stream orders    column `region` not null from now on; column `total` decimal(10,2) → decimal(12,2)
          ~ table clean      the columns it reads; column `total` decimal(10,2) → decimal(12,2)
          > table by_minute  it reads `clean`; column `revenue` decimal(20,2) → decimal(22,2)
          > table usual      it reads `by_minute`; column `revenue` decimal(20,2) → decimal(22,2); column `usual` decimal(24,6) → decimal(26,6)
          > alert high       it reads `by_minute`
          > dashboard sales  it reads `by_minute`

        computed anew from the stored rows, then switched to in one step
          clean      from orders: 1,000,000 rows, 50 MB, about 4 seconds
          by_minute  from clean: 990,000 rows, 49.5 MB, about a second
          usual      from by_minute: 40,000 rows, 2 MB, about a second
          in all     2,030,000 rows, 101.5 MB, about 6 seconds

        refused
          ! stream `orders`: column `region` cannot be `not null`, because stored rows may have no value there; leave `not null` out
    "#]].assert_eq(&told(&wider, &[]).await);
}

#[tokio::test]
async fn a_table_that_stands_still_is_built_anew() {
    let running = shop(&[], &[]).await;
    let mut sizes = sizes();
    sizes.entry("clean".to_owned()).or_default().stale = Some("a disk was full".to_owned());
    expect![[r#"
        shop: 1 changed, 4 following

          ~ table clean      it stands still: a disk was full
          > table by_minute  it reads `clean`
          > table usual      it reads `by_minute` and is run again
          > alert high       it reads `by_minute`
          > dashboard sales  it reads `by_minute`

        computed anew from the stored rows, then switched to in one step
          clean      from orders: 1,000,000 rows, 50 MB, about 4 seconds
          by_minute  from clean: 990,000 rows, 49.5 MB, about a second
          in all     1,990,000 rows, 99.5 MB, about 5 seconds

        `mainstem apply shop` does it.
    "#]]
    .assert_eq(&text(&compare(running.side(), running.side(), &sizes)));
}
