use std::path::Path;
use std::time::Duration;

use base::time::SystemClock;

use super::{Load, Operator, Question, checkpoints, join, once, operator, run, ticks, windows};

#[tokio::test]
async fn a_tiny_load_is_measured() {
    let clock = SystemClock::start();
    let folder = tempfile::tempdir().unwrap();
    let load = Load { rows: 40_000, groups: 100, batch_rows: 8_000, late_percent: 0 };
    let (ours, once) = windows(folder.path(), &*clock, load).await.unwrap();
    println!("windows {:.0}, at once {:.0} rows/s", ours.rows_per_second(), once.rows_per_second());
    assert_eq!((ours.rows, once.rows), (40_000, 40_000));
    let load = Load { rows: 5_000, groups: 100, batch_rows: 250, late_percent: 0 };
    let folder = tempfile::tempdir().unwrap();
    let found = ticks(folder.path(), &clock, load).await.unwrap();
    println!("{found:?}");
    assert!(found.tick_p50 <= found.tick_p99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_costs_something_as_a_flow_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/nexmark");
    let file = folder.path().join("bid.ndjson");
    let bid = |number: i64| {
        format!(
            "{{\"auction\":{},\"bidder\":1,\"price\":{number},\"date_time\":\"2026-01-05T00:00:{:02}Z\"}}\n",
            1_000 + number % 7,
            number / 100
        )
    };
    std::fs::write(&file, (0..6_000).map(bid).collect::<String>()).unwrap();
    let clock = SystemClock::start();
    for table in ["q1", "q5", "q7"] {
        let files = [("bid", file.clone())];
        let question = Question { project: &project, table, files: &files, cpu: || Duration::ZERO };
        let folder = folder.path().join(table);
        let found = run(&folder, &clock, &question).await.unwrap();
        assert_eq!(found.records, 6_000);
        assert!(0 < found.epochs);
        let asked = Box::pin(once(&question)).await.unwrap();
        assert!(0 < asked.rows);
    }
}

#[tokio::test]
async fn operators_and_checkpoints_are_measured() {
    let clock = SystemClock::start();
    let selects = [
        "/*\nlate = \"10 seconds\"\n*/\nSELECT tumble(ts, '10 seconds') AS start, customer, count(*) AS n FROM orders GROUP BY start, customer",
        "SELECT hop(ts, '1 second', '10 seconds') AS start, customer, sum(value) AS total FROM orders GROUP BY start, customer",
        "SELECT customer, count(*) AS n FROM orders GROUP BY customer",
        "SELECT o.ts, o.value, c.tier FROM orders o JOIN customers c ON o.customer = c.customer",
    ];
    for (select, late_percent) in selects.into_iter().zip([10, 0, 0, 0]) {
        let folder = tempfile::tempdir().unwrap();
        let load = Load { rows: 40_000, groups: 100, batch_rows: 8_000, late_percent };
        let found = operator(folder.path(), &*clock, &Operator { select, load }).await.unwrap();
        assert_eq!((found.behind.rows, found.once.rows), (40_000, 40_000));
    }
    let folder = tempfile::tempdir().unwrap();
    let [all, few] = checkpoints(folder.path(), &clock, selects[0], 5_000).await.unwrap();
    assert_eq!((all.changed, few.changed), (5_000, 5));
    assert!(0 < all.bytes, "{all:?} {few:?}");
}

#[tokio::test]
async fn looks_at_a_join_are_measured() {
    let clock = SystemClock::start();
    let folder = tempfile::tempdir().unwrap();
    // `ROWS=200000` makes it worth a look.
    #[expect(clippy::disallowed_methods, reason = "a test is told its size from outside")]
    let rows = std::env::var("ROWS").ok().and_then(|it| it.parse().ok()).unwrap_or(2_000);
    let load = Load { rows, groups: rows / 4, batch_rows: rows / 400, late_percent: 0 };
    let looks = join(folder.path(), &clock, load).await.unwrap();
    println!("{rows} rows within reach, {} new: {looks:?}", load.batch_rows);
}
