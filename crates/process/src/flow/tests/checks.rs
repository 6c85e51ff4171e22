//! Checks of tables: what they find, whom they stop, and how those go on.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::expect;

use base::time::SystemClock;

use super::{World, ask, plan_of};
use crate::flow::Flow;

const PROJECT: &str = r#"
[project]
name = "shop"

[stream.orders]
time = "ts"
[stream.orders.columns]
id = "int"
ts = "timestamp not null"
customer = "text"
total = "int"
"#;

/// Another flow, if nothing ties it to the one of orders.
const CUSTOMERS: (&str, &str) =
    ("customers.toml", "[stream.customers]\n[stream.customers.columns]\nid = \"text not null\"\n");

const CLEAN: &str = r#"/*
checks.has_id     = { not_null = ["id", "ts"] }
checks.one_row    = { unique = "id" }
checks.known      = { column = "customer", references = "customers.id" }
checks.young      = { freshness = "1 hour" }
checks.old        = { freshness = "1 second", column = "ts" }
checks.positive   = "total >= 0"
checks.adds_up    = "sum(total) >= 0"
checks.none_dear  = "SELECT * FROM orders_clean WHERE total > 1000;"
*/
SELECT id, ts, customer, total FROM orders"#;

const BEHIND: &[(&str, &str)] = &[
    ("by_customer.sql", "SELECT customer, sum(total) AS total FROM orders_clean GROUP BY customer"),
    ("dear.sql", "SELECT id FROM orders_clean WHERE 5 <= total"),
    ("places.sql", "SELECT customer, rank() OVER (ORDER BY total DESC) AS place FROM by_customer"),
    ("beside.sql", "SELECT count(*) AS n FROM orders"),
];

fn files(clean: &str) -> Vec<(&str, &str)> {
    let own = [("mainstem.toml", PROJECT), ("orders_clean.sql", clean)];
    own.into_iter().chain(BEHIND.iter().copied()).collect()
}

/// What became of each check.
fn told(flow: &Flow) -> String {
    let mut text = String::new();
    for it in flow.stats().checks.iter() {
        let (state, message) = (it.state.as_str(), it.message.as_deref().unwrap_or_default());
        writeln!(text, "{} {state} {message}", it.check).unwrap();
    }
    text
}

/// Which tables stand still, and why.
fn stale(flow: &Flow) -> String {
    let view = flow.view();
    let mut text = String::new();
    for (name, stats) in &flow.stats().tables {
        let shown = view.tables.get(name).is_some_and(|it| it.stale_since_ms.is_some());
        if let Some(error) = stats.error.as_ref().filter(|_| shown) {
            writeln!(text, "{name}: {error}").unwrap();
        }
    }
    text
}

#[tokio::test]
async fn each_kind_of_check_says_what_is_wrong() {
    let mut files = files(CLEAN);
    files.push(CUSTOMERS);
    let world = World::new(&files).await;
    assert_eq!(world.plan.flows.len(), 1, "a reference shows the same tick");
    let mut flow = world.open().await;
    flow.tick().await.unwrap();
    expect![[r#"
        has_id passing 
        one_row passing 
        known passing 
        young failing there is no row with a time
        old failing there is no row with a time
        positive passing 
        adds_up failing it is NULL
        none_dear passing 
    "#]]
    .assert_eq(&told(&flow));
    world.send("customers", &[r#"{"id":"ann"}"#]).await;
    world
        .send(
            "orders",
            &[
                r#"{"id":1,"ts":"2026-01-05T09:58:00Z","customer":"ann","total":4}"#,
                r#"{"id":1,"ts":"2026-01-05T09:58:00Z","customer":null,"total":2000}"#,
                r#"{"id":null,"ts":"2026-01-05T09:58:00Z","customer":"bob","total":-1}"#,
                r#"{"id":null,"ts":"2026-01-05T09:58:00Z","customer":"ann","total":null}"#,
            ],
        )
        .await;
    flow.tick().await.unwrap();
    expect![[r#"
        has_id failing 2 are wrong
        one_row failing 1 is wrong
        known failing 1 is wrong
        young passing 
        old failing the newest row is 2 minutes old
        positive failing 2 are wrong
        adds_up passing 
        none_dear failing 1 is wrong
    "#]]
    .assert_eq(&told(&flow));
    assert_eq!(stale(&flow), "");
    // No row changes any more, and time alone makes it old.
    world.pass(Duration::from_secs(3_600));
    flow.tick().await.unwrap();
    assert!(told(&flow).contains("young failing the newest row is 62 minutes old"));
}

fn order(id: usize, total: i64) -> String {
    format!(r#"{{"id":{id},"ts":"2026-01-05T09:58:00Z","customer":"c{}","total":{total}}}"#, id % 3)
}

const STOPS: &str = r#"/*
checks.adds_up = { sql = "coalesce(sum(total), 0) >= 0", severity = "fail" }
*/
SELECT id, ts, customer, total FROM orders"#;

const SHOWN: &str = "SELECT (SELECT count(*) FROM orders_clean) AS clean, \
     (SELECT sum(total) FROM by_customer) AS total, (SELECT count(*) FROM dear) AS dear, \
     (SELECT count(*) FROM places) AS places, (SELECT n FROM beside) AS beside";

#[tokio::test]
async fn what_is_behind_a_check_that_fails_stands_still_until_it_holds_again() {
    let mut world = World::new(&files(STOPS)).await;
    let mut flow = world.open().await;
    world.send("orders", &[&order(1, 7), &order(2, 5)]).await;
    flow.tick().await.unwrap();
    flow.tick().await.unwrap();
    let before = ask(&flow.view(), SHOWN).await;
    expect![[r#"
        {"clean":2,"total":12,"dear":2,"places":2,"beside":2}
    "#]]
    .assert_eq(&before);
    flow.flush().await.unwrap();
    world.send("orders", &[&order(3, -20)]).await;
    flow.tick().await.unwrap();
    world.send("orders", &[&order(4, 1)]).await;
    flow.tick().await.unwrap();
    expect![[r#"
        by_customer: check `adds_up` of `orders_clean` fails
        dear: check `adds_up` of `orders_clean` fails
        places: it reads `by_customer`, which stands still
    "#]]
    .assert_eq(&stale(&flow));
    expect![[r#"
        {"clean":4,"total":-8,"dear":2,"places":3,"beside":4}
    "#]]
    .assert_eq(&ask(&flow.view(), SHOWN).await);
    flow.flush().await.unwrap();
    // It is so after a restart too.
    drop(flow);
    world.crash();
    let mut flow = world.open().await;
    flow.tick().await.unwrap();
    world.send("orders", &[&order(5, 2)]).await;
    flow.tick().await.unwrap();
    assert!(stale(&flow).contains("dear: check `adds_up` of `orders_clean` fails"));
    world.send("orders", &[&order(6, 30)]).await;
    for _ in 0..3 {
        flow.tick().await.unwrap();
    }
    assert_eq!(stale(&flow), "");
    let after = ask(&flow.view(), SHOWN).await;
    expect![[r#"
        {"clean":6,"total":25,"dear":3,"places":3,"beside":6}
    "#]]
    .assert_eq(&after);
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let flow = world.open().await;
    assert_eq!(ask(&flow.view(), SHOWN).await, after, "stored");
    assert_eq!(stale(&flow), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_flow_stops_and_goes_on_by_itself() {
    let world = World::new(&files(STOPS)).await;
    let mut setup = world.setup();
    setup.clock = SystemClock::start();
    setup.settings.epoch_every = Duration::from_millis(20);
    let handle = Flow::open(setup).await.unwrap().run().unwrap();
    let clock = SystemClock::start();
    let wait = async |what: &str, is_so: &dyn Fn(&str) -> bool| {
        let mut ticks = handle.ticks();
        loop {
            let view = handle.view();
            let stale = view.tables["dear"].stale_since_ms.is_some();
            let shown = format!("{stale} {}", ask(&view, SHOWN).await);
            if is_so(&shown) {
                return;
            }
            assert!(clock.elapsed() < Duration::from_secs(60), "{what}: {shown}");
            ticks.changed().await.unwrap();
        }
    };
    world.send("orders", &[&order(1, 7)]).await;
    wait("the first", &|it| it.contains(r#"false {"clean":1,"total":7,"dear":1,"places":1"#)).await;
    world.send("orders", &[&order(2, -20)]).await;
    wait("held", &|it| it.starts_with(r#"true {"clean":2,"#)).await;
    world.send("orders", &[&order(3, 9)]).await;
    wait("held still", &|it| it.starts_with("true {\"clean\":3,") && it.contains("\"dear\":1,"))
        .await;
    world.send("orders", &[&order(4, 40)]).await;
    wait("on again", &|it| {
        it.contains(r#"false {"clean":4,"total":36,"dear":3,"places":3,"beside":4}"#)
    })
    .await;
    handle.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_recomputed_reads_only_what_was_checked() {
    let first = "/*\nchecks.small = { sql = 'count(*) < 3', severity = 'fail' }\n\
                 checks.steady = { row_change = '50 %' }\n*/\n\
                 SELECT a.id FROM orders a, (SELECT max(total) AS top FROM orders) b \
                 WHERE a.total = b.top OR a.total < 0";
    let files = [
        ("mainstem.toml", PROJECT),
        ("first.sql", first),
        ("second.sql", "SELECT count(*) AS n FROM first HAVING count(*) < 100"),
    ];
    let world = World::new(&files).await;
    let mut flow = world.open().await;
    world.send("orders", &[&order(1, 7), &order(2, -1)]).await;
    for _ in 0..2 {
        flow.tick().await.unwrap();
    }
    let sql = "SELECT (SELECT count(*) FROM first) AS first, (SELECT n FROM second) AS second";
    assert_eq!(ask(&flow.view(), sql).await, "{\"first\":2,\"second\":2}\n");
    world.send("orders", &[&order(3, -1), &order(4, -1), &order(5, -1)]).await;
    for _ in 0..3 {
        flow.tick().await.unwrap();
    }
    assert_eq!(ask(&flow.view(), sql).await, "{\"first\":5,\"second\":2}\n");
    expect![[r#"
        second: check `small` of `first` fails
    "#]]
    .assert_eq(&stale(&flow));
    assert!(told(&flow).contains("steady failing 5 rows, and 2 when it passed last"));
}

const BESIDE: &str = "SELECT count(*) AS n FROM orders_clean";

#[tokio::test]
async fn checks_that_cannot_be_asked_are_faults() {
    let clean = r#"/*
checks.a = { not_null = "idd" }
checks.b = { column = "id", references = "customers.name" }
checks.c = { freshness = "1 hour", column = "id" }
checks.d = { row_change = "10 %" }
checks.e = "total + 1"
checks.f = "sum(total)"
checks.g = "totl > 1"
checks.h = "SELECT nope FROM orders_clean"
checks.j = { sql = "SELECT * FROM orders_clean WHERE id NOT IN (SELECT n FROM beside)", severity = "fail" }
checks.i = { column = "id", references = "customer.id" }
*/
SELECT id, ts, customer, total FROM orders"#;
    let files = [
        ("mainstem.toml", PROJECT),
        CUSTOMERS,
        ("orders_clean.sql", clean),
        ("beside.sql", BESIDE),
    ];
    let faults = plan_of(&files).await.unwrap_err().to_string();
    assert_eq!(
        faults,
        "orders_clean.sql:11:43: there is no table `customer`; did you mean `customers`?\n"
    );
    let clean = clean.replace("checks.i = { column = \"id\", references = \"customer.id\" }\n", "");
    let files = [
        ("mainstem.toml", PROJECT),
        CUSTOMERS,
        ("orders_clean.sql", clean.as_str()),
        ("beside.sql", BESIDE),
    ];
    let faults = plan_of(&files).await.unwrap_err().to_string();
    for reason in [
        "orders_clean.sql:2:25: `orders_clean` has no column `idd`; did you mean `id`?",
        "`customers` has no column `name`",
        "`id` is no timestamp",
        "`row_change` compares one run with the one before, and `orders_clean` has no runs",
        "a condition is true or false",
        "the check `f` is neither true nor false",
        "totl",
        "nope",
        "`beside` reads `orders_clean`, so this check would stop what it looks at",
    ] {
        assert!(faults.contains(reason), "not told: {reason}\n{faults}");
    }
}
