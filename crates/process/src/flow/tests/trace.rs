//! A record is followed through every kind of table, and what is told of it stands there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::RecordBatch;
use base::{Place, SequenceNumber, ShardId};
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::ident;
use expect_test::expect;

use super::shop::SHOP;
use super::{NOW_MS, World};
use crate::flow::Flow;
use crate::trace::{Found, Trace};

const MORE: &[(&str, &str)] = &[
    ("by_region.sql", "SELECT region, count(*) AS orders FROM orders_clean GROUP BY region\n"),
    (
        "by_ten.sql",
        "SELECT hop(ts, '5 minutes', '10 minutes') AS start, count(*) AS orders FROM orders GROUP BY start\n",
    ),
    (
        "visits.sql",
        "SELECT session(ts, '1 minute') AS start, region, count(*) AS n FROM orders GROUP BY start, region\n",
    ),
    ("ranks.sql", "SELECT region, rank() OVER (ORDER BY orders DESC) AS place FROM by_region\n"),
    ("all_orders.sql", "SELECT count(*) AS orders FROM orders\n"),
    ("cheap.sql", "SELECT order_id, 100 / (quantity - 1) AS share FROM orders WHERE total < 10\n"),
    ("rejects.sql", "SELECT kind, count(*) AS n FROM orders__dead GROUP BY kind\n"),
    ("best.sql", "SELECT region, orders FROM by_region ORDER BY orders DESC LIMIT 1\n"),
    (
        "pairs.sql",
        "SELECT a.order_id FROM orders a JOIN orders_clean b ON a.order_id = b.order_id\n",
    ),
    (
        "strict.sql",
        "/*\nlate = \"dead\"\n*/\n\
         SELECT tumble(ts, '1 minute') AS minute, count(*) AS orders FROM orders GROUP BY minute\n",
    ),
];

fn shop() -> Vec<(&'static str, &'static str)> {
    [SHOP, MORE].concat()
}

fn order(id: &str, time: &str, product: &str, total: i64) -> String {
    format!(
        r#"{{"order_id":"{id}","ts":"2026-01-05T{time}Z","region":"fr","product_id":"{product}","quantity":1,"unit_price":{total},"total":{total}}}"#
    )
}

async fn trace(world: &World, flow: &Flow, sequence: u64) -> Trace {
    let place = Place { shard: ShardId(0), sequence: SequenceNumber(sequence) };
    let plan = world.plan.flows.first().unwrap();
    plan.trace(&flow.view(), "orders", place, NOW_MS).await.unwrap()
}

fn lines(batches: &[RecordBatch]) -> String {
    batches.iter().flat_map(rows::json::lines).collect::<Vec<_>>().join(" ")
}

/// Says what a trace found, one table a line.
fn told(trace: &Trace) -> String {
    let mut text = String::new();
    let row = trace.row.iter().map(|it| lines(std::slice::from_ref(it))).collect::<String>();
    writeln!(text, "row {row}").unwrap();
    for letter in trace.letters.iter().flat_map(rows::json::lines) {
        writeln!(text, "letter {letter}").unwrap();
    }
    for step in &trace.steps {
        let from: Vec<&str> = step.from.iter().map(base::Name::as_str).collect();
        let found = found(&step.found);
        writeln!(text, "{} < {}: {found}", step.table, from.join(", ")).unwrap();
        for letter in step.letters.iter().flat_map(rows::json::lines) {
            writeln!(text, "  letter {letter}").unwrap();
        }
        for note in &step.notes {
            writeln!(text, "  {note}").unwrap();
        }
    }
    text
}

fn found(found: &Found) -> String {
    match found {
        Found::LeftOut => "left out".to_owned(),
        Found::Read(reason) => format!("read ({reason})"),
        Found::Rows(rows) => lines(rows),
        Found::Groups(groups) => {
            let groups = groups.iter();
            let groups = groups.map(|it| {
                format!("{} is {}", lines(std::slice::from_ref(&it.key)), lines(&it.rows))
            });
            groups.collect::<Vec<_>>().join(" and ")
        }
    }
}

#[tokio::test]
async fn a_record_is_followed_through_every_kind_of_table() {
    let world = World::new(&shop()).await;
    let mut flow = world.open().await;
    world.send("orders", &[&order("1", "10:00:10", "p1", 5)]).await;
    world.send("orders", &[&order("2", "10:00:20", "p9", 50)]).await;
    world.send("orders", &[&order("3", "12:00:00", "p1", 50)]).await;
    flow.tick_all().await.unwrap();
    super::assert_conserved(&flow);
    let hot = told(&trace(&world, &flow, 0).await);
    expect![[r#"
        row {"order_id":"1","ts":"2026-01-05T10:00:10Z","customer_id":null,"product_id":"p1","region":"fr","quantity":1,"unit_price":5.00,"total":5.00,"_shard":0,"_sequence":0,"_arrived":"2026-01-05T10:00:00Z"}
        all_orders < orders: {} is {"orders":3}
        by_ten < orders: {"start":"2026-01-05T09:55:00Z"} is {"start":"2026-01-05T09:55:00Z","orders":2,"_final":true} and {"start":"2026-01-05T10:00:00Z"} is {"start":"2026-01-05T10:00:00Z","orders":2,"_final":true}
        cheap < orders: left out
          letter {"bytes":"{\"order_id\":\"1\",\"ts\":\"2026-01-05T10:00:10Z\",\"customer_id\":null,\"product_id\":\"p1\",\"region\":\"fr\",\"quantity\":1,\"unit_price\":5.00,\"total\":5.00,\"_shard\":0,\"_sequence\":0,\"_arrived\":\"2026-01-05T10:00:00Z\"}","_shard":0,"_sequence":0,"_arrived":"2026-01-05T10:00:00Z","kind":"compute","check":null,"checks":[],"message":"Arrow error: Divide by zero error","state":"dead"}
        orders_clean < orders: {"order_id":"1","ts":"2026-01-05T10:00:10Z","customer_id":null,"region":"FR","quantity":1,"total":5.00,"product_name":"boots","category":"shoes"}
        strict < orders: {"minute":"2026-01-05T10:00:00Z"} is {"minute":"2026-01-05T10:00:00Z","orders":2,"_final":true}
        visits < orders: {"start":"2026-01-05T10:00:10Z","region":"fr"} is {"start":"2026-01-05T10:00:10Z","region":"fr","n":2,"_final":true}
        by_region < orders_clean: {"region":"FR"} is {"region":"FR","orders":3}
        pairs < orders, orders_clean: read (a join of `orders` and `orders_clean`, both touched)
        sales_by_minute < orders_clean: {"minute":"2026-01-05T10:00:00Z","region":"FR","category":"shoes"} is {"minute":"2026-01-05T10:00:00Z","region":"FR","category":"shoes","orders":1,"revenue":5.00,"_final":true}
        best < by_region: {"region":"FR","orders":3}
        ranks < by_region: {"region":"FR","by_region.orders":3} is {"region":"FR","place":1}
          it does not show by_region.orders: these rows are of all its values
          rows of other groups are computed from these too
        sales_against_usual < sales_by_minute: {"minute":"2026-01-05T10:00:00Z","region":"FR"} is {"minute":"2026-01-05T10:00:00Z","region":"FR","revenue":55.00,"usual":null}
          rows of other groups are computed from these too
    "#]].assert_eq(&hot);
    // The same of what is stored.
    flow.flush().await.unwrap();
    assert_eq!(told(&trace(&world, &flow, 0).await), hot);
    expect![[r#"
        row {"order_id":"2","ts":"2026-01-05T10:00:20Z","customer_id":null,"product_id":"p9","region":"fr","quantity":1,"unit_price":50.00,"total":50.00,"_shard":0,"_sequence":1,"_arrived":"2026-01-05T10:00:00Z"}
        all_orders < orders: {} is {"orders":3}
        by_ten < orders: {"start":"2026-01-05T09:55:00Z"} is {"start":"2026-01-05T09:55:00Z","orders":2,"_final":true} and {"start":"2026-01-05T10:00:00Z"} is {"start":"2026-01-05T10:00:00Z","orders":2,"_final":true}
        cheap < orders: left out
        orders_clean < orders: {"order_id":"2","ts":"2026-01-05T10:00:20Z","customer_id":null,"region":"FR","quantity":1,"total":50.00,"product_name":null,"category":null}
        strict < orders: {"minute":"2026-01-05T10:00:00Z"} is {"minute":"2026-01-05T10:00:00Z","orders":2,"_final":true}
        visits < orders: {"start":"2026-01-05T10:00:10Z","region":"fr"} is {"start":"2026-01-05T10:00:10Z","region":"fr","n":2,"_final":true}
        by_region < orders_clean: {"region":"FR"} is {"region":"FR","orders":3}
        pairs < orders, orders_clean: read (a join of `orders` and `orders_clean`, both touched)
        sales_by_minute < orders_clean: {"minute":"2026-01-05T10:00:00Z","region":"FR","category":null} is {"minute":"2026-01-05T10:00:00Z","region":"FR","category":null,"orders":1,"revenue":50.00,"_final":true}
        best < by_region: {"region":"FR","orders":3}
        ranks < by_region: {"region":"FR","by_region.orders":3} is {"region":"FR","place":1}
          it does not show by_region.orders: these rows are of all its values
          rows of other groups are computed from these too
        sales_against_usual < sales_by_minute: {"minute":"2026-01-05T10:00:00Z","region":"FR"} is {"minute":"2026-01-05T10:00:00Z","region":"FR","revenue":55.00,"usual":null}
          rows of other groups are computed from these too
    "#]].assert_eq(&told(&trace(&world, &flow, 1).await));
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_so() {
    let world = World::new(&shop()).await;
    let mut flow = world.open().await;
    world.send("orders", &[&order("1", "12:00:00", "p1", 5)]).await;
    world.send("orders", &[&order("2", "12:00:10", "p1", -5)]).await;
    flow.tick_all().await.unwrap();
    world.send("orders", &[&order("3", "10:00:00", "p1", 5)]).await;
    let waiting = trace(&world, &flow, 2).await;
    assert!(waiting.is_pending && waiting.row.is_none() && waiting.steps.is_empty());
    flow.tick_all().await.unwrap();
    let rejected = trace(&world, &flow, 1).await;
    assert!(!rejected.is_pending);
    expect![[r#"
        row 
        letter {"bytes":"{\"order_id\":\"2\",\"ts\":\"2026-01-05T12:00:10Z\",\"region\":\"fr\",\"product_id\":\"p1\",\"quantity\":1,\"unit_price\":-5,\"total\":-5}","_shard":0,"_sequence":1,"_arrived":"2026-01-05T10:00:00Z","kind":"check","check":"price_is_positive","checks":["price_is_positive"],"message":"check `price_is_positive`: `unit_price > 0 AND quantity > 0` is false","state":"dead"}
        rejects < orders__dead: {"kind":"check"} is {"kind":"check","n":1}
    "#]].assert_eq(&told(&rejected));
    // Too late for `strict`: a dead letter there, in no group of it.
    expect![[r#"
        row {"order_id":"3","ts":"2026-01-05T10:00:00Z","customer_id":null,"product_id":"p1","region":"fr","quantity":1,"unit_price":5.00,"total":5.00,"_shard":0,"_sequence":2,"_arrived":"2026-01-05T10:00:00Z"}
        all_orders < orders: {} is {"orders":2}
        by_ten < orders: {"start":"2026-01-05T09:55:00Z"} is {"start":"2026-01-05T09:55:00Z","orders":1,"_final":true} and {"start":"2026-01-05T10:00:00Z"} is {"start":"2026-01-05T10:00:00Z","orders":1,"_final":true}
        cheap < orders: left out
          letter {"bytes":"{\"order_id\":\"3\",\"ts\":\"2026-01-05T10:00:00Z\",\"customer_id\":null,\"product_id\":\"p1\",\"region\":\"fr\",\"quantity\":1,\"unit_price\":5.00,\"total\":5.00,\"_shard\":0,\"_sequence\":2,\"_arrived\":\"2026-01-05T10:00:00Z\"}","_shard":0,"_sequence":2,"_arrived":"2026-01-05T10:00:00Z","kind":"compute","check":null,"checks":[],"message":"Arrow error: Divide by zero error","state":"dead"}
        orders_clean < orders: {"order_id":"3","ts":"2026-01-05T10:00:00Z","customer_id":null,"region":"FR","quantity":1,"total":5.00,"product_name":"boots","category":"shoes"}
        strict < orders: left out
          letter {"bytes":"{\"order_id\":\"3\",\"ts\":\"2026-01-05T10:00:00Z\",\"customer_id\":null,\"product_id\":\"p1\",\"region\":\"fr\",\"quantity\":1,\"unit_price\":5.00,\"total\":5.00,\"_shard\":0,\"_sequence\":2,\"_arrived\":\"2026-01-05T10:00:00Z\"}","_shard":0,"_sequence":2,"_arrived":"2026-01-05T10:00:00Z","kind":"late","check":null,"checks":[],"message":"the window that began at 2026-01-05T10:00:00Z was final already","state":"dead"}
        visits < orders: {"start":"2026-01-05T10:00:00Z","region":"fr"} is {"start":"2026-01-05T10:00:00Z","region":"fr","n":1,"_final":true}
        by_region < orders_clean: {"region":"FR"} is {"region":"FR","orders":2}
        pairs < orders, orders_clean: read (a join of `orders` and `orders_clean`, both touched)
        sales_by_minute < orders_clean: {"minute":"2026-01-05T10:00:00Z","region":"FR","category":"shoes"} is {"minute":"2026-01-05T10:00:00Z","region":"FR","category":"shoes","orders":1,"revenue":5.00,"_final":true}
        best < by_region: {"region":"FR","orders":2}
        ranks < by_region: {"region":"FR","by_region.orders":2} is {"region":"FR","place":1}
          it does not show by_region.orders: these rows are of all its values
          rows of other groups are computed from these too
        sales_against_usual < sales_by_minute: {"minute":"2026-01-05T10:00:00Z","region":"FR"} is {"minute":"2026-01-05T10:00:00Z","region":"FR","revenue":5.00,"usual":null}
          rows of other groups are computed from these too
    "#]].assert_eq(&told(&trace(&world, &flow, 2).await));
    let place = Place { shard: ShardId(0), sequence: SequenceNumber(0) };
    let plan = world.plan.flows.first().unwrap();
    assert!(plan.trace(&flow.view(), "order", place, NOW_MS).await.is_err());
}

#[tokio::test]
async fn a_lookup_that_changed_since_is_told() {
    let mut world = World::new(SHOP).await;
    let mut flow = world.open().await;
    world.send("orders", &[&order("1", "10:00:10", "p1", 5)]).await;
    flow.tick_all().await.unwrap();
    flow.flush().await.unwrap();
    let changed: Vec<(&str, &str)> = SHOP
        .iter()
        .map(|(file, text)| (*file, if *file == "products.csv" { PRODUCTS } else { *text }))
        .collect();
    world.plan = super::plan_of(&changed).await.unwrap();
    drop(flow);
    let flow = world.open().await;
    let trace = trace(&world, &flow, 0).await;
    let clean = trace.steps.iter().find(|it| it.table == "orders_clean").unwrap();
    let Found::Rows(rows) = &clean.found else { panic!("{:?}", clean.found) };
    assert!(lines(rows).contains(r#""category":"shoes""#), "{}", lines(rows));
    assert!(clean.notes.iter().any(|it| it.contains("found by `order_id`")), "{:?}", clean.notes);
}

const PRODUCTS: &str = "product_id,name,category\np1,boots,footwear\n";

#[tokio::test]
async fn one_more_select_follows_the_rows_that_its_reader_sees() {
    let world = World::new(&shop()).await;
    let mut flow = world.open().await;
    world.send("orders", &[&order("1", "10:00:10", "p1", 5)]).await;
    world.send("orders", &[&order("2", "10:00:20", "p1", 50)]).await;
    flow.tick_all().await.unwrap();
    let trace = trace(&world, &flow, 0).await;
    let view = flow.view();
    let mut tables: BTreeMap<String, Arc<dyn TableProvider>> =
        view.providers().map(|(name, table)| (name.to_string(), table)).collect();
    let table = Arc::clone(&tables["sales_by_minute"]);
    let scan = LogicalPlanBuilder::scan("sales_by_minute", provider_as_source(table), None);
    let open = scan.unwrap().filter(ident("_final").is_false()).unwrap().build().unwrap();
    tables.insert("sales_by_minute".to_owned(), Arc::new(ViewTable::new(open, None)));
    for (sql, expected) in [
        (
            "SELECT region, minute, revenue FROM sales_by_minute WHERE revenue > 10",
            r#"{"region":"FR","minute":"2026-01-05T10:00:00Z","revenue":55.00}"#,
        ),
        ("SELECT region FROM sales_by_minute WHERE revenue > 100", "left out"),
        (
            "SELECT minute, sum(revenue) AS revenue FROM sales_by_minute GROUP BY minute HAVING sum(revenue) > 10",
            r#"{"minute":"2026-01-05T10:00:00Z"} is {"minute":"2026-01-05T10:00:00Z","revenue":55.00}"#,
        ),
        ("SELECT region FROM sales_by_minute WHERE _final", "left out"),
        ("SELECT order_id FROM orders__dead", "left out"),
        ("SELECT DISTINCT region FROM orders", r#"{"region":"fr"}"#),
        ("SELECT region FROM orders UNION SELECT region FROM orders_clean", "read (UNION)"),
    ] {
        let sql = sql.replace("order_id FROM orders__dead", "kind FROM orders__dead");
        let seen = trace.through(&sql, &tables, NOW_MS).await.unwrap();
        assert_eq!(found(&seen), expected, "{sql}");
    }
}
