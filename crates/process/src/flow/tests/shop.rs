//! The complete small project of the contract, with the facts stated there.

use expect_test::expect;

use super::{World, ask, assert_conserved, name};
use crate::replay::Replay;

pub(super) const SHOP: &[(&str, &str)] = &[
    (
        "mainstem.toml",
        r#"
[project]
name = "shop"

[stream.orders]
time = "ts"
key = "customer_id"
replay = "7 days"

[stream.orders.columns]
order_id = "text not null"
ts = "timestamp not null"
customer_id = "text"
product_id = "text"
region = "text"
quantity = "int"
unit_price = "decimal(10,2)"
total = "decimal(12,2)"

[stream.orders.checks]
price_is_positive = "unit_price > 0 AND quantity > 0"
total_is_right = "abs(total - unit_price * quantity) < 0.01"

[lookup.products]
from = "products.csv"
key = "product_id"
every = "1 hour"
"#,
    ),
    ("products.csv", "product_id,name,category\np1,boots,shoes\n"),
    (
        "orders_clean.sql",
        "/*\npartition = \"day(ts)\"\nkeep = \"5 years\"\n*/\n\
         SELECT o.order_id, o.ts, o.customer_id, upper(o.region) AS region, o.quantity, o.total, \
         p.name AS product_name, p.category \
         FROM orders o LEFT JOIN products p ON p.product_id = o.product_id\n",
    ),
    (
        "sales_by_minute.sql",
        "/*\nlayer = \"reporting\"\nlate = \"10 minutes\"\n*/\n\
         SELECT tumble(ts, '1 minute') AS minute, region, category, count(*) AS orders, \
         sum(total) AS revenue FROM orders_clean GROUP BY minute, region, category\n",
    ),
    (
        "sales_against_usual.sql",
        "SELECT minute, region, sum(revenue) AS revenue, \
         avg(sum(revenue)) OVER (PARTITION BY region ORDER BY minute \
         ROWS BETWEEN 60 PRECEDING AND 1 PRECEDING) AS usual \
         FROM sales_by_minute GROUP BY minute, region\n",
    ),
];

const GOOD: &str = r#"{"order_id":"1","ts":"2026-01-05T10:00:10Z","region":"fr","product_id":"p1","quantity":2,"unit_price":10,"total":20}"#;
const BAD: &str = r#"{"order_id":"2","ts":"2026-01-05T10:00:20Z","region":"fr","product_id":"p1","quantity":1,"unit_price":-5,"total":-4}"#;

fn order(id: u32, time: &str) -> String {
    format!(
        r#"{{"order_id":"{id}","ts":"2026-01-05T{time}Z","region":"fr","product_id":"p1","quantity":1,"unit_price":5,"total":5}}"#
    )
}

const SALES: &str = "SELECT minute, region, category, orders, revenue, _final FROM sales_by_minute";

#[tokio::test]
async fn the_shop_does_what_the_contract_says() {
    let world = World::new(SHOP).await;
    let mut flow = world.open().await;
    world.send("orders", &[GOOD, BAD]).await;
    assert_eq!(flow.tick().await.unwrap(), 2);
    let view = flow.view();
    expect![[r#"
        {"n":1}
    "#]]
    .assert_eq(&ask(&view, "SELECT count(*) AS n FROM orders").await);
    expect![[r#"
        {"kind":"check","check":"price_is_positive","checks":["price_is_positive","total_is_right"],"state":"dead"}
    "#]]
    .assert_eq(&ask(&view, "SELECT kind, \"check\", checks, state FROM orders__dead").await);
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","region":"FR","category":"shoes","orders":1,"revenue":20.00,"_final":false}
    "#]]
    .assert_eq(&ask(&view, SALES).await);
    let stats = flow.stats();
    let orders = &stats.streams["orders"];
    assert_eq!((orders.received, orders.stored, orders.dead, orders.pending), (2, 1, 1, 0));

    world.send("orders", &[&order(3, "10:10:59")]).await;
    flow.tick().await.unwrap();
    let early = ask(&flow.view(), SALES).await;
    assert!(early.contains(r#""orders":1,"revenue":20.00,"_final":false"#), "{early}");

    world.send("orders", &[&order(4, "12:00:00")]).await;
    flow.tick().await.unwrap();
    let over = ask(&flow.view(), SALES).await;
    assert!(over.contains(r#""orders":1,"revenue":20.00,"_final":true"#), "{over}");
    flow.flush().await.unwrap();
    assert_eq!(over, ask(&flow.view(), SALES).await);

    world.send("orders", &[&order(5, "10:00:50")]).await;
    flow.tick().await.unwrap();
    let corrected = ask(&flow.view(), SALES).await;
    assert!(corrected.contains(r#""orders":2,"revenue":25.00,"_final":true"#), "{corrected}");
    assert_eq!(flow.stats().tables["sales_by_minute"].corrections, 1);
    flow.flush().await.unwrap();
    assert_eq!(corrected, ask(&flow.view(), SALES).await);
    assert_eq!(flow.stats().tables["sales_by_minute"].corrections, 1);
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","revenue":25.00,"usual":null}
        {"minute":"2026-01-05T10:10:00Z","revenue":5.00,"usual":25.000000}
        {"minute":"2026-01-05T12:00:00Z","revenue":5.00,"usual":15.000000}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT minute, revenue, usual FROM sales_against_usual").await);
    assert_conserved(&flow);
}

#[tokio::test]
async fn a_restart_shows_the_same_tables() {
    let mut world = World::new(SHOP).await;
    let mut flow = world.open().await;
    world.send("orders", &[GOOD, BAD, &order(4, "12:00:00")]).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    let before = ask(&flow.view(), SALES).await;
    drop(flow);
    world.crash();
    let mut flow = world.open().await;
    assert_eq!(before, ask(&flow.view(), SALES).await);
    assert_eq!(flow.tick().await.unwrap(), 0);
    world.send("orders", &[&order(5, "12:00:01")]).await;
    flow.tick().await.unwrap();
    let sales = ask(&flow.view(), SALES).await;
    assert!(sales.contains(r#""minute":"2026-01-05T12:00:00Z""#), "{sales}");
    assert!(sales.contains(r#""orders":2,"revenue":10.00,"_final":false"#), "{sales}");
    assert_conserved(&flow);
}

#[tokio::test]
async fn a_replayed_reject_becomes_a_row_once() {
    let mut world = World::new(SHOP).await;
    let mut flow = world.open().await;
    let unreadable = "{\"order_id\": oops}";
    world.send("orders", &[GOOD, BAD, unreadable]).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    // Today's checks are milder.
    let mild: Vec<(&str, String)> = SHOP
        .iter()
        .map(|(file, text)| (*file, text.replace("unit_price > 0 AND", "true AND")))
        .map(|(file, text)| (file, text.replace("< 0.01", "< 100")))
        .collect();
    let mild: Vec<(&str, &str)> = mild.iter().map(|(file, text)| (*file, text.as_str())).collect();
    world.plan = super::plan_of(&mild).await.unwrap();
    drop(flow);
    let mut flow = world.open().await;
    let replayed = flow.replay(Replay::all(name("orders"))).await.unwrap();
    assert_eq!((replayed.stored, replayed.dead), (1, 1));
    let states = "SELECT state, kind, count(*) AS n FROM orders__dead GROUP BY state, kind";
    expect![[r#"
        {"state":"dead","kind":"decode","n":1}
        {"state":"replayed","kind":"check","n":1}
    "#]]
    .assert_eq(&ask(&flow.view(), states).await);
    let orders = "SELECT order_id, _sequence FROM orders";
    expect![[r#"
        {"order_id":"1","_sequence":0}
        {"order_id":"2","_sequence":1}
    "#]]
    .assert_eq(&ask(&flow.view(), orders).await);
    assert_conserved(&flow);

    // Not durable yet: a crash takes rows and states back together.
    drop(flow);
    world.crash();
    let mut flow = world.open().await;
    assert_conserved(&flow);
    let again = flow.replay(Replay::all(name("orders"))).await.unwrap();
    assert_eq!((again.stored, again.dead), (1, 1));
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let mut flow = world.open().await;
    let third = flow.replay(Replay::all(name("orders"))).await.unwrap();
    assert_eq!((third.stored, third.dead), (0, 1));
    let stats = flow.stats();
    let orders = &stats.streams["orders"];
    assert_eq!((orders.received, orders.stored, orders.dead, orders.pending), (3, 2, 1, 0));
}
