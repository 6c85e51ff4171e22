//! Windows, late rows, running totals and rows that cannot be computed.

use expect_test::expect;

use super::{World, ask, assert_conserved, plan_of, slow};
use crate::flow::Flow;
use crate::plan::TableKind;

const STREAM: &str = r#"
[project]
name = "meters"

[stream.readings]
time = "ts"

[stream.readings.columns]
id = "int not null"
ts = "timestamp"
meter = "text"
value = "int"
"#;

const BY_MINUTE: &str = "/*\nlate = \"2 minutes\"\n*/\n\
    SELECT tumble(ts, '1 minute') AS minute, meter, count(*) AS n, sum(value) AS total, \
    avg(value) AS mean, min(value) AS least, max(value) AS most, \
    count(DISTINCT value) AS kinds, count(*) FILTER (WHERE value > 5) AS large \
    FROM readings WHERE value <> 3 GROUP BY minute, meter HAVING count(*) > 1\n";

/// The windows that take the place of that minute: overlapping ones, some that are no multiple of
/// each other, sessions.
const WINDOWS: &[&str] = &[
    "tumble(ts, '1 minute')",
    "hop(ts, '30 seconds', '90 seconds')",
    "hop(ts, '20 seconds', '50 seconds')",
    "session(ts, '25 seconds')",
];

fn grouped_by(window: &str) -> String {
    BY_MINUTE.replace(WINDOWS[0], window)
}

const TOTALS: &str = "SELECT meter, count(*) AS n, sum(value) AS total, median(value) AS middle \
    FROM readings GROUP BY meter\n";

fn reading(id: u32, seconds: u32, meter: u32, value: u32) -> String {
    let (minute, second) = (seconds / 60, seconds % 60);
    format!(
        r#"{{"id":{id},"ts":"2026-01-05T10:{minute:02}:{second:02}Z","meter":"m{meter}","value":{value}}}"#
    )
}

const SHOWN_BY_MINUTE: &str =
    "SELECT minute, meter, n, total, mean, least, most, kinds, large FROM by_minute";
const BATCH_TOTALS: &str = "SELECT meter, count(*) AS n, sum(value) AS total, \
    median(value) AS middle FROM readings GROUP BY meter";

/// Readings mostly near the front, sometimes long past.
fn some_readings(random: &mut fastrand::Rng, step: u32, last_id: &mut u32) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..random.u32(0..12) {
        *last_id += 1;
        let front = step * 20;
        let back = if random.u32(0..6) == 0 { front } else { front.min(45) };
        let seconds = front - random.u32(0..=back);
        lines.push(reading(*last_id, seconds, random.u32(0..3), random.u32(0..9)));
    }
    lines
}

/// What one-shot SQL over the raw rows says.
fn batch(by_minute: &str) -> &str {
    by_minute.split("*/").last().unwrap()
}

async fn check_against_one_question(flow: &Flow, by_minute: &str, last_id: u32, seed: u64) {
    let view = flow.view();
    let (is, should) = (ask(&view, SHOWN_BY_MINUTE).await, ask(&view, batch(by_minute)).await);
    assert_eq!(is, should, "seed {seed}: {by_minute}");
    let totals = "SELECT meter, n, total, middle FROM totals";
    assert_eq!(ask(&view, totals).await, ask(&view, BATCH_TOTALS).await, "seed {seed}");
    let all = format!("{{\"n\":{last_id}}}\n");
    assert_eq!(all, ask(&view, "SELECT count(DISTINCT id) AS n FROM readings").await);
    assert_eq!(all, ask(&view, "SELECT count(*) AS n FROM readings").await);
}

#[tokio::test]
async fn any_order_of_rows_gives_what_one_question_gives() {
    for seed in 0..if slow() { 200 } else { 16 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let by_minute = grouped_by(WINDOWS[usize::try_from(seed).unwrap() % WINDOWS.len()]);
        let files =
            [("mainstem.toml", STREAM), ("by_minute.sql", &by_minute), ("totals.sql", TOTALS)];
        let mut world = World::with_shards(&files, 1 + random.u32(0..3), seed).await;
        let mut flow = world.open().await;
        let mut last_id = 0;
        for step in 0..random.u32(8..30) {
            let lines = some_readings(&mut random, step, &mut last_id);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            world.send("readings", &lines).await;
            let what = random.u32(0..6);
            if 0 < what {
                flow.tick_all().await.unwrap();
            }
            if what == 3 || what == 4 {
                flow.flush().await.unwrap();
            }
            if what == 5 {
                drop(flow);
                world.crash();
                flow = world.open().await;
            }
            assert_conserved(&flow);
        }
        flow.tick_all().await.unwrap();
        check_against_one_question(&flow, &by_minute, last_id, seed).await;
        flow.flush().await.unwrap();
        check_against_one_question(&flow, &by_minute, last_id, seed).await;
    }
}

/// Tables over windows: each is computed window by window, and says what one question says.
const OVER_WINDOWS: &[(&str, &str)] = &[
    ("large.sql", "SELECT minute, meter, total + 1 AS more FROM by_minute WHERE total > 8"),
    (
        "by_quarter.sql",
        "SELECT tumble(minute, '3 minutes') AS quarter, sum(total) AS total, max(n) AS most FROM by_minute GROUP BY quarter",
    ),
    (
        "gliding.sql",
        "SELECT hop(minute, '1 minute', '2 minutes') AS start, meter, sum(total) AS total FROM by_minute GROUP BY start, meter",
    ),
    (
        "best.sql",
        "SELECT minute, meter, place FROM (SELECT minute, meter, total, row_number() OVER (PARTITION BY minute ORDER BY total DESC, meter) AS place FROM by_minute) WHERE place <= 2",
    ),
    (
        "share.sql",
        "SELECT m.minute, m.meter, m.total * 100 / (a.total + 1) AS percent FROM by_minute m \
         JOIN (SELECT minute, sum(total) AS total FROM by_minute GROUP BY minute) a ON a.minute = m.minute",
    ),
    (
        "best_readings.sql",
        "SELECT start, id, value FROM (SELECT tumble(ts, '1 minute') AS start, id, value, row_number() OVER (PARTITION BY tumble(ts, '1 minute') ORDER BY value DESC, id) AS place FROM readings) WHERE place <= 2",
    ),
];

fn over_windows(by_minute: &str) -> Vec<(&str, &str)> {
    let mut files = vec![("mainstem.toml", STREAM), ("by_minute.sql", by_minute)];
    files.extend(OVER_WINDOWS);
    files
}

async fn check_over_windows(flow: &Flow, seed: u64) {
    let view = flow.view();
    for (name, sql) in OVER_WINDOWS {
        let table = name.trim_end_matches(".sql");
        let is = ask(&view, &format!("SELECT * FROM {table}")).await;
        let is = is.replace(",\"_final\":true", "").replace(",\"_final\":false", "");
        let should = ask(&view, sql).await;
        assert_eq!(is, should, "seed {seed}: {table}");
    }
    for (name, table) in &flow.stats().tables {
        assert_eq!(table.error, None, "seed {seed}: {name}");
    }
}

#[tokio::test]
async fn tables_over_windows_say_what_one_question_says() {
    for seed in 0..if slow() { 100 } else { 8 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let by_minute =
            BY_MINUTE.replace("2 minutes", ["0 seconds", "2 minutes"][seed as usize % 2]);
        let files = over_windows(&by_minute);
        let mut world = World::with_shards(&files, 1 + random.u32(0..3), seed).await;
        for (name, kind) in world.plan.flows[0].tables() {
            assert_eq!(kind, TableKind::Windowed, "{name}");
        }
        let mut flow = world.open().await;
        let mut last_id = 0;
        for step in 0..random.u32(8..30) {
            let lines = some_readings(&mut random, step, &mut last_id);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            world.send("readings", &lines).await;
            let what = random.u32(0..6);
            if 0 < what {
                flow.tick_all().await.unwrap();
                check_over_windows(&flow, seed).await;
            }
            if what == 3 || what == 4 {
                flow.flush().await.unwrap();
            }
            if what == 5 {
                drop(flow);
                world.crash();
                flow = world.open().await;
            }
        }
        flow.tick_all().await.unwrap();
        flow.flush().await.unwrap();
        check_over_windows(&flow, seed).await;
        let finals =
            |table: &str| format!("SELECT count(*) AS n FROM {table} WHERE _final IS NULL");
        for (name, _) in OVER_WINDOWS {
            let table = name.trim_end_matches(".sql");
            assert_eq!(ask(&flow.view(), &finals(table)).await, "{\"n\":0}\n");
        }
    }
}

#[tokio::test]
async fn a_window_that_cannot_be_computed_costs_only_itself() {
    let by_minute = BY_MINUTE.replace("> 1", "> 0");
    let shares = "SELECT minute, meter, 100 / total AS share FROM by_minute WHERE meter = 'm1'";
    let files =
        [("mainstem.toml", STREAM), ("by_minute.sql", by_minute.as_str()), ("shares.sql", shares)];
    let world = World::new(&files).await;
    let mut flow = world.open().await;
    let lines: Vec<String> =
        [(10, 5), (70, 0), (130, 4)].map(|(at, value)| reading(at, at, 1, value)).to_vec();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send("readings", &lines).await;
    flow.tick().await.unwrap();
    flow.tick().await.unwrap();
    let shown = "SELECT minute, share FROM shares";
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","share":20}
        {"minute":"2026-01-05T10:02:00Z","share":25}
    "#]]
    .assert_eq(&ask(&flow.view(), shown).await);
    expect![[r#"
        {"kind":"compute","message":"the window that begins at 2026-01-05T10:01:00Z: Arrow error: Divide by zero error"}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT kind, message FROM shares__dead").await);
    world.send("readings", &[&reading(71, 71, 1, 10)]).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","share":20}
        {"minute":"2026-01-05T10:01:00Z","share":10}
        {"minute":"2026-01-05T10:02:00Z","share":25}
    "#]]
    .assert_eq(&ask(&flow.view(), shown).await);
    assert!(flow.stats().tables.values().all(|it| it.stale_since_ms.is_none()));
}

#[tokio::test]
async fn streams_are_followed_together() {
    let streams = format!(
        "{STREAM}\n[stream.others]\ntime = \"at\"\ncolumns = {{ number = \"int\", at = \"timestamp\" }}\n"
    );
    let both = "SELECT id, ts, 100 / value AS share FROM readings UNION ALL SELECT number, at, 1 FROM others";
    let counted = "SELECT tumble(ts, '1 minute') AS minute, count(*) AS n FROM \
        (SELECT ts FROM readings UNION ALL SELECT at FROM others) GROUP BY minute";
    let files = [
        ("mainstem.toml", streams.as_str()),
        ("all_of.sql", both),
        ("counted.sql", counted),
        ("totals.sql", "SELECT count(*) AS n, max(id) AS last FROM all_of"),
    ];
    let mut world = World::new(&files).await;
    let mut flow = world.open().await;
    let shown = "SELECT minute, n, _final FROM counted";
    world.send("readings", &[&reading(1, 10, 1, 5), &reading(2, 20, 1, 0)]).await;
    flow.tick().await.unwrap();
    world.send("others", &[r#"{"number":7,"at":"2026-01-05T10:00:30Z"}"#]).await;
    world.send("readings", &[&reading(3, 70, 1, 5)]).await;
    flow.tick().await.unwrap();
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","n":3,"_final":false}
        {"minute":"2026-01-05T10:01:00Z","n":1,"_final":false}
    "#]]
    .assert_eq(&ask(&flow.view(), shown).await);
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let mut flow = world.open().await;
    // The slower of the two streams tells how far time has come.
    world.send("others", &[r#"{"number":8,"at":"2026-01-05T10:01:30Z"}"#]).await;
    flow.tick_all().await.unwrap();
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","n":3,"_final":true}
        {"minute":"2026-01-05T10:01:00Z","n":2,"_final":false}
    "#]]
    .assert_eq(&ask(&flow.view(), shown).await);
    expect![[r#"
        {"id":1,"share":20}
        {"id":3,"share":20}
        {"id":7,"share":1}
        {"id":8,"share":1}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT id, share FROM all_of").await);
    expect![[r#"
        {"n":4,"last":8}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT n, last FROM totals").await);
    expect![[r#"
        {"_sequence":1,"message":"Arrow error: Divide by zero error"}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT _sequence, message FROM all_of__dead").await);
}

#[tokio::test]
async fn late_rows_are_dead_where_the_table_says_so() {
    let by_minute = BY_MINUTE.replace("2 minutes", "dead").replace("> 1", "> 0");
    let world = World::new(&[("mainstem.toml", STREAM), ("by_minute.sql", &by_minute)]).await;
    let mut flow = world.open().await;
    world.send("readings", &[&reading(1, 10, 1, 7), &reading(2, 70, 1, 7)]).await;
    flow.tick().await.unwrap();
    world.send("readings", &[&reading(3, 20, 1, 8), &reading(4, 80, 1, 9)]).await;
    flow.tick().await.unwrap();
    flow.flush().await.unwrap();
    let view = flow.view();
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","n":1,"_final":true}
        {"minute":"2026-01-05T10:01:00Z","n":2,"_final":false}
    "#]]
    .assert_eq(&ask(&view, "SELECT minute, n, _final FROM by_minute").await);
    expect![[r#"
        {"kind":"late","_sequence":2,"message":"the window that began at 2026-01-05T10:00:00Z was final already"}
    "#]]
    .assert_eq(&ask(&view, "SELECT kind, _sequence, message FROM by_minute__dead").await);
}

#[tokio::test]
async fn a_row_that_cannot_be_computed_costs_only_itself() {
    let shares = "SELECT id, 100 / value AS share, meter FROM readings";
    let sums = "SELECT tumble(ts, '1 minute') AS minute, sum(100 / value) AS shares FROM readings GROUP BY minute";
    let world =
        World::new(&[("mainstem.toml", STREAM), ("shares.sql", shares), ("sums.sql", sums)]).await;
    let mut flow = world.open().await;
    let mut lines: Vec<String> =
        (1..=20).map(|it| reading(it, it, 1, if it == 7 || it == 20 { 0 } else { 10 })).collect();
    lines.push(r#"{"id":21,"meter":"m1","value":10}"#.to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send("readings", &lines).await;
    flow.tick().await.unwrap();
    let view = flow.view();
    expect![[r#"
        {"n":19,"total":190}
    "#]]
    .assert_eq(&ask(&view, "SELECT count(*) AS n, sum(share) AS total FROM shares").await);
    expect![[r#"
        {"_sequence":19,"kind":"compute","message":"Arrow error: Divide by zero error"}
        {"_sequence":6,"kind":"compute","message":"Arrow error: Divide by zero error"}
    "#]]
    .assert_eq(&ask(&view, "SELECT _sequence, kind, message FROM shares__dead").await);
    expect![[r#"
        {"shares":180}
    "#]]
    .assert_eq(&ask(&view, "SELECT shares FROM sums").await);
    expect![[r#"
        {"_sequence":19,"message":"Arrow error: Divide by zero error"}
        {"_sequence":20,"message":"`readings.ts` is NULL, so the row belongs to no window"}
        {"_sequence":6,"message":"Arrow error: Divide by zero error"}
    "#]]
    .assert_eq(&ask(&view, "SELECT _sequence, message FROM sums__dead").await);
    assert!(flow.stats().tables.values().all(|it| it.stale_since_ms.is_none()));
    assert_conserved(&flow);
}

#[tokio::test]
async fn a_silent_shard_holds_windows_until_it_is_idle() {
    let by_minute = BY_MINUTE.replace("2 minutes", "0 seconds").replace("> 1", "> 0");
    let files = [("mainstem.toml", STREAM), ("by_minute.sql", by_minute.as_str())];
    let world = World::with_shards(&files, 2, 1).await;
    let mut flow = world.open().await;
    let id = world.journal.stream("readings").unwrap();
    let shard = |line: &String| world.journal.shard_of(id, journal::Key::Partition(line)).unwrap();
    let lines: Vec<String> = (0..40).map(|it| reading(it, 10, 1, 7)).collect();
    let (left, right): (Vec<_>, Vec<_>) = lines.iter().partition(|it| shard(it).0 == 0);
    let later: Vec<String> = (100..140).map(|it| reading(it, 130, 1, 7)).collect();
    let later: Vec<_> = later.iter().filter(|it| shard(it).0 == 0).collect();
    let strings = |all: &[&String]| all.iter().map(|it| (*it).clone()).collect::<Vec<_>>();
    for batch in [strings(&left), strings(&right), strings(&later)] {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        world.send("readings", &batch).await;
        flow.tick().await.unwrap();
    }
    let finals = "SELECT minute, n FROM by_minute WHERE _final";
    assert_eq!(ask(&flow.view(), finals).await, "", "shard 1 is still at 10:00:10");
    world.pass(std::time::Duration::from_secs(3_600));
    world.send("readings", &[later.last().unwrap()]).await;
    flow.tick().await.unwrap();
    expect![[r#"
        {"minute":"2026-01-05T10:00:00Z","n":40}
    "#]]
    .assert_eq(&ask(&flow.view(), finals).await);
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_its_place() {
    let refused = async |sql: &str| {
        let faults = plan_of(&[("mainstem.toml", STREAM), ("t.sql", sql)]).await.unwrap_err();
        faults.to_string()
    };
    expect![[r#"
        t.sql:1:46: the table groups by the window `tumble(readings.ts,Utf8("1 minute"))`, but does not select it; add `tumble(..) AS window_start` to the SELECT, so that its rows can be told apart
    "#]]
    .assert_eq(
        &refused("SELECT count(*) AS n FROM readings GROUP BY  tumble(ts, '1 minute')").await,
    );
    let ordered = refused(
        "SELECT tumble(ts, '1 minute') AS w, nth_value(value, 2 ORDER BY ts) AS second FROM readings GROUP BY w",
    )
    .await;
    assert!(ordered.contains("needs all rows in order"), "{ordered}");
}

#[tokio::test]
async fn a_new_table_over_old_rows_is_filled_from_them() {
    let mut world = World::new(&[("mainstem.toml", STREAM)]).await;
    let mut flow = world.open().await;
    let lines: Vec<String> = (0..50).map(|it| reading(it, it * 5, it % 3, it % 7)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send("readings", &lines).await;
    flow.tick_all().await.unwrap();
    flow.flush().await.unwrap();
    drop(flow);
    let files = [
        ("mainstem.toml", STREAM),
        ("by_minute.sql", BY_MINUTE),
        ("totals.sql", TOTALS),
        ("copy.sql", "SELECT id, meter FROM readings WHERE value > 2"),
    ];
    let bigger = World::new(&files).await;
    for (name, storage) in bigger.storage {
        world.storage.entry(name).or_insert(storage);
    }
    world.plan = bigger.plan;
    let mut flow = world.open().await;
    for _ in 0..2 {
        let view = flow.view();
        assert_eq!(ask(&view, SHOWN_BY_MINUTE).await, ask(&view, batch(BY_MINUTE)).await);
        let totals = "SELECT meter, n, total, middle FROM totals";
        assert_eq!(ask(&view, totals).await, ask(&view, BATCH_TOTALS).await);
        let copied = "SELECT id, meter FROM readings WHERE value > 2";
        assert_eq!(ask(&view, "SELECT id, meter FROM copy").await, ask(&view, copied).await);
        world.send("readings", &[&reading(99, 100, 1, 5)]).await;
        flow.tick_all().await.unwrap();
        flow.flush().await.unwrap();
    }
}
