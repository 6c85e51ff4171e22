//! Lookups under way: new versions, large ones, those whose rows are valid at times.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::expect;

use base::time::SystemClock;

use super::{World, ask, assert_conserved, plan_of};

const PROJECT: &str = r#"
[project]
name = "shop"

[stream.orders]
time = "ts"
[stream.orders.columns]
id = "int not null"
ts = "timestamp not null"
sku = "text"

[lookup.prices]
from = "prices.csv"
key = "sku"
"#;

const NAMED: &str = "SELECT o.id, p.price FROM orders o LEFT JOIN prices p ON p.sku = o.sku";

fn order(id: usize, sku: &str) -> String {
    format!(r#"{{"id":{id},"ts":"2026-01-05T10:{:02}:10Z","sku":"{sku}"}}"#, id / 60 % 60)
}

async fn send(world: &World, ids: std::ops::Range<usize>, sku: impl Fn(usize) -> String) {
    let lines: Vec<String> = ids.map(|it| order(it, &sku(it))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send("orders", &lines).await;
}

#[tokio::test]
async fn a_join_that_names_no_time_is_warned_of() {
    let project = format!("{PROJECT}valid_from = \"since\"\n");
    let at = format!("{NAMED} AND o.ts >= p.since AND o.ts < p.valid_to");
    let files = [
        ("mainstem.toml", project.as_str()),
        ("prices.csv", "sku,since,price\nx,2026-01-05,1\n"),
        ("named.sql", NAMED),
        ("at.sql", at.as_str()),
    ];
    let warnings = plan_of(&files).await.unwrap().warnings;
    expect![[r#"
        named.sql:1:46: `prices` has a row for each time from which a key's values count, and this reads them all; join with `AND TIME >= prices.since AND TIME < prices.valid_to`
    "#]].assert_eq(&warnings.to_string());
}

const CLOSED: &str = r#"{"id":9000,"ts":"2026-01-05T12:00:00Z","sku":"none"}"#;

/// Tables that change with the lookup, and one that does not.
fn backfilled(folder: &std::path::Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let again = "/*\nlookup_backfill = true\n*/\n";
    write("mainstem.toml", PROJECT);
    write("named.sql", &format!("{again}{NAMED}"));
    write("stays.sql", NAMED);
    write("dear.sql", "SELECT id, price * 2 AS twice FROM named WHERE 5 <= price");
    write(
        "by_price.sql",
        &format!(
            "{again}SELECT tumble(o.ts, '1 minute') AS minute, p.price, count(*) AS n \
             FROM orders o JOIN prices p ON p.sku = o.sku GROUP BY minute, p.price"
        ),
    );
    write(
        "dearest.sql",
        "SELECT minute, price FROM (SELECT minute, price, row_number() OVER \
         (PARTITION BY minute ORDER BY price DESC) AS place FROM by_price) x WHERE place = 1",
    );
    write("totals.sql", "SELECT price, count(*) AS n FROM named GROUP BY price");
    write("prices.csv", "sku,price\nx,1\ny,2\n");
}

const ALL: &[&str] = &[
    "SELECT id, price FROM stays",
    "SELECT id, price FROM named",
    "SELECT id, twice FROM dear",
    "SELECT minute, price, n FROM by_price",
    "SELECT minute, price FROM dearest",
    "SELECT price, n FROM totals",
];

async fn show_all(view: &crate::view::View) -> String {
    let mut text = String::new();
    for sql in ALL {
        let rows = ask(view, sql).await;
        writeln!(text, "{}\n{rows}", sql.rsplit(' ').next().unwrap()).unwrap();
    }
    text
}

#[tokio::test]
async fn rows_of_before_change_with_the_lookup_where_the_table_says_so() {
    let folder = tempfile::tempdir().unwrap();
    backfilled(folder.path());
    let mut world = World::at(folder.path()).await;
    let mut flow = world.open().await;
    let sku = |it: usize| if it.is_multiple_of(2) { "x" } else { "y" }.to_owned();
    send(&world, 0..2, sku).await;
    flow.tick().await.unwrap();
    world.send("orders", &[CLOSED]).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    std::fs::write(folder.path().join("prices.csv"), "sku,price\nx,7\nz,3\n").unwrap();
    world.pass(Duration::from_secs(2));
    send(&world, 2..4, sku).await;
    flow.tick().await.unwrap();
    let shown = show_all(&flow.view()).await;
    expect![[r#"
        stays
        {"id":0,"price":1}
        {"id":1,"price":2}
        {"id":2,"price":7}
        {"id":3,"price":null}
        {"id":9000,"price":null}

        named
        {"id":0,"price":7}
        {"id":1,"price":null}
        {"id":2,"price":7}
        {"id":3,"price":null}
        {"id":9000,"price":null}

        dear
        {"id":0,"twice":14}
        {"id":2,"twice":14}

        by_price
        {"minute":"2026-01-05T10:00:00Z","price":7,"n":2}

        dearest
        {"minute":"2026-01-05T10:00:00Z","price":7}

        totals
        {"price":7,"n":2}
        {"price":null,"n":3}

    "#]]
    .assert_eq(&shown);
    flow.flush().await.unwrap();
    assert_eq!(show_all(&flow.view()).await, shown, "stored");
    drop(flow);
    // A start reads the files as they are.
    world.plan = World::at(folder.path()).await.plan;
    world.crash();
    let flow = world.open().await;
    assert_eq!(show_all(&flow.view()).await, shown, "taken up again");
    assert_conserved(&flow);
}

#[tokio::test]
async fn each_record_meets_one_version_though_the_program_dies_between_two() {
    let folder = tempfile::tempdir().unwrap();
    backfilled(folder.path());
    let world = World::at(folder.path()).await;
    let mut flow = world.open().await;
    let of_x = |_: usize| "x".to_owned();
    send(&world, 0..1, of_x).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    // This one is shown with the first version, but not durable when the file changes.
    send(&world, 1..2, of_x).await;
    flow.tick().await.unwrap();
    std::fs::write(folder.path().join("prices.csv"), "sku,price\nx,7\n").unwrap();
    drop(flow);
    // A start reads the file as it is now.
    let next = World::at(folder.path()).await;
    let mut world = World { plan: next.plan.clone(), ..world };
    world.crash();
    let mut flow = world.open().await;
    send(&world, 2..3, of_x).await;
    flow.tick_all().await.unwrap();
    let shown = show_all(&flow.view()).await;
    expect![[r#"
        stays
        {"id":0,"price":1}
        {"id":1,"price":7}
        {"id":2,"price":7}

        named
        {"id":0,"price":7}
        {"id":1,"price":7}
        {"id":2,"price":7}

        dear
        {"id":0,"twice":14}
        {"id":1,"twice":14}
        {"id":2,"twice":14}

        by_price
        {"minute":"2026-01-05T10:00:00Z","price":7,"n":3}

        dearest
        {"minute":"2026-01-05T10:00:00Z","price":7}

        totals
        {"price":7,"n":3}

    "#]]
    .assert_eq(&shown);
    flow.flush().await.unwrap();
    assert_eq!(show_all(&flow.view()).await, shown, "stored");
    assert_conserved(&flow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_flow_goes_on_while_rows_of_before_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    backfilled(folder.path());
    let world = World::at(folder.path()).await;
    let mut setup = world.setup();
    setup.clock = SystemClock::start();
    setup.settings.epoch_every = Duration::from_millis(20);
    let handle = crate::flow::Flow::open(setup).await.unwrap().run().unwrap();
    let sku = |it: usize| if it.is_multiple_of(2) { "x" } else { "y" }.to_owned();
    let mut sent = 0;
    let clock = SystemClock::start();
    for price in [10, 20, 30] {
        send(&world, sent..sent + 50, sku).await;
        sent += 50;
        std::fs::write(folder.path().join("prices.csv"), format!("sku,price\nx,{price}\n"))
            .unwrap();
        let expected = format!("{{\"n\":{}}}\n", sent / 2);
        let sql = format!("SELECT count(*) AS n FROM named WHERE price = {price}");
        let began = clock.elapsed();
        let mut ticks = handle.ticks();
        while ask(&handle.view(), &sql).await != expected {
            assert!(
                clock.elapsed() - began < Duration::from_secs(60),
                "{}",
                show_all(&handle.view()).await
            );
            ticks.changed().await.unwrap();
        }
    }
    handle.flush().await.unwrap();
    let view = handle.view();
    let counts = "SELECT (SELECT sum(n) FROM by_price WHERE price = 30) AS by_price, \
        (SELECT sum(n) FROM by_price) AS of_all, \
        (SELECT n FROM totals WHERE price = 30) AS totals, \
        (SELECT count(*) FROM dear WHERE twice = 60) AS dear, \
        (SELECT count(*) FROM dear) AS of_dear, (SELECT max(price) FROM dearest) AS top, \
        (SELECT count(*) FROM stays) AS stays";
    expect![[r#"
        {"by_price":75,"of_all":75,"totals":75,"dear":75,"of_dear":75,"top":30,"stays":150}
    "#]]
    .assert_eq(&ask(&view, counts).await);
    handle.stop().await.unwrap();
}

/// Says how many rows the large lookup has; a few thousand show the same.
#[expect(clippy::disallowed_methods, reason = "a measurement is told its size from outside")]
fn rows_of_the_large() -> usize {
    std::env::var("LOOKUP_ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(5_000)
}

/// `LOOKUP_ROWS=1000000` and `--nocapture` show what a tick costs.
#[tokio::test]
async fn a_large_lookup_is_looked_up_tick_by_tick() {
    let rows = rows_of_the_large();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("mainstem.toml", PROJECT);
    write("named.sql", NAMED);
    write(
        "by_price.sql",
        "SELECT tumble(o.ts, '1 minute') AS minute, p.price, count(*) AS n \
         FROM orders o JOIN prices p ON p.sku = o.sku GROUP BY minute, p.price",
    );
    let mut text = "sku,price,name,maker,since,weight,colour\n".to_owned();
    for row in 0..rows {
        let more = "a name of some length,maker of things,2026-01-05T10:00:00Z,1.25,dark green";
        writeln!(text, "sku-{row:07},{},{more}", row % 100).unwrap();
    }
    write("prices.csv", &text);
    let clock = SystemClock::start();
    let world = World::at(folder.path()).await;
    let mut flow = world.open().await;
    println!("{rows} rows, {} bytes, read in {:?}", text.len(), clock.elapsed());
    let mut took = Vec::new();
    // More ticks than a plan runs before it is renewed.
    for tick in 0..600 {
        send(&world, tick..tick + 1, |it| format!("sku-{:07}", it * 7_919 % rows)).await;
        let began = clock.elapsed();
        flow.tick().await.unwrap();
        took.push(clock.elapsed() - began);
    }
    let first: Vec<Duration> = took.iter().take(2).copied().collect();
    took.sort_unstable();
    let (half, most) = (took[took.len() / 2], &took[took.len() - 4..]);
    println!("first ticks {first:?}, median {half:?}, longest {most:?}");
    let found = ask(&flow.view(), "SELECT count(price) AS n FROM named").await;
    assert_eq!(found, "{\"n\":600}\n");
    assert_conserved(&flow);
}
