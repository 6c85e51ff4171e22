//! Tables with a schedule: each run happens when it is due, once, whatever crashes in between.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::expect;

use super::{World, ask, plan_of};
use crate::flow::Flow;
use crate::stats::RunState;

const PROJECT: &str = r#"
[project]
name = "shop"

[stream.orders]
[stream.orders.columns]
id = "int"
total = "int"
"#;

fn files<'a>(tables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("mainstem.toml", PROJECT)].into_iter().chain(tables.iter().copied()).collect()
}

async fn open(world: &World) -> Flow {
    let mut flow = world.open().await;
    flow.is_running = true; // Its schedules count; each step is still one of the test.
    flow
}

/// Ticks until nothing is under way.
async fn work(flow: &mut Flow) {
    for _ in 0..10_000 {
        flow.tick().await.unwrap();
        if !flow.has_jobs() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the runs do not end: {:?}", flow.stats().runs);
}

async fn send(world: &World, orders: &[(u32, i64)]) {
    let lines: Vec<String> =
        orders.iter().map(|(id, total)| format!(r#"{{"id":{id},"total":{total}}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send("orders", &lines).await;
}

/// The runs of a table, a line each.
fn runs(flow: &Flow, table: &str) -> String {
    let mut text = String::new();
    for run in flow.stats().runs.get(table).into_iter().flat_map(|it| it.iter()) {
        let due_s = (run.due_ms.saturating_sub(super::NOW_MS)) / 1_000;
        let (cause, state, attempt) = (&run.cause, run.state.as_str(), run.attempt);
        let rows = run.rows_out.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let error = run.error.as_deref().unwrap_or_default();
        let line = format!("+{due_s}s {cause} {state} {attempt} rows={rows} {error}");
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

const NIGHTLY: &str = "/*\ncron = '0-59/10 * * * *'\n*/\n\
    SELECT now() AS at, count(*) AS n FROM orders";

#[tokio::test]
async fn a_table_with_cron_runs_at_its_moments_and_at_no_other() {
    let mut world = World::new(&files(&[("nightly.sql", NIGHTLY)])).await;
    let mut flow = open(&world).await;
    send(&world, &[(1, 5), (2, 6)]).await;
    work(&mut flow).await;
    assert_eq!(ask(&flow.view(), "SELECT * FROM nightly").await, "", "it is not time yet");
    world.pass(Duration::from_secs(601));
    work(&mut flow).await;
    expect![[r#"
        {"at":"2026-01-05T10:10:00Z","n":2}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT * FROM nightly").await);
    send(&world, &[(3, 7)]).await;
    world.pass(Duration::from_secs(300));
    work(&mut flow).await;
    assert!(ask(&flow.view(), "SELECT * FROM nightly").await.contains("\"n\":2"), "not yet");
    flow.flush().await.unwrap();
    drop(flow);
    // It stands still over three moments; one run makes up for them, at the last of them.
    world.crash();
    world.pass(Duration::from_secs(1_800));
    let mut flow = open(&world).await;
    assert!(ask(&flow.view(), "SELECT * FROM nightly").await.contains("\"n\":2"), "as it was");
    work(&mut flow).await;
    expect![[r#"
        {"at":"2026-01-05T10:40:00Z","n":3}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT * FROM nightly").await);
    expect![[r#"
        +600s cron done 1 rows=1
        +1200s cron skipped 0 rows=-
        +1800s cron skipped 0 rows=-
        +2400s cron done 1 rows=1
    "#]]
    .assert_eq(&runs(&flow, "nightly"));
    let stats = flow.stats();
    let nightly = &stats.tables["nightly"];
    assert_eq!(nightly.starts.as_deref(), Some("cron 0-59/10 * * * *"));
    assert_eq!(nightly.next_ms, Some(super::NOW_MS + 3_000_000));
}

#[tokio::test]
async fn what_a_crash_forgets_of_a_run_it_forgets_of_its_rows_too() {
    let adds = "/*\ncron = '* * * * *'\nmissed = 'catch up'\nreads = 'new'\n*/\n\
                SELECT now() AS at, count(*) AS n, sum(id) AS ids FROM orders";
    let all = "SELECT count(*) AS runs, count(DISTINCT at) AS moments, sum(n) AS n FROM adds";
    for seed in 0..12_u64 {
        let plan = plan_of(&files(&[("adds.sql", adds)])).await.unwrap();
        let mut world = World::of(plan, 1, seed);
        let mut flow = open(&world).await;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sent = 0;
        for _ in 0..30 {
            match random.u32(0..6) {
                0 => {
                    drop(flow);
                    world.crash();
                    flow = open(&world).await;
                }
                1 => {
                    flow.flush().await.unwrap();
                }
                2 | 3 => {
                    send(&world, &[(sent, 1)]).await;
                    sent += 1;
                    flow.tick().await.unwrap();
                }
                4 => {
                    world.pass(Duration::from_secs(random.u64(20..200)));
                    work(&mut flow).await;
                }
                _ => {
                    world.pass(Duration::from_secs(random.u64(20..200)));
                    flow.tick().await.unwrap();
                }
            }
        }
        world.pass(Duration::from_secs(60));
        for _ in 0..60 {
            work(&mut flow).await;
        }
        let now_s = (base::Clock::now_ms(&world.clock) - super::NOW_MS) / 1_000;
        let expected = format!("{{\"runs\":{0},\"moments\":{0},\"n\":{sent}}}\n", now_s / 60);
        assert_eq!(ask(&flow.view(), all).await, expected, "seed {seed}");
        flow.flush().await.unwrap();
        drop(flow);
        world.crash();
        let flow = open(&world).await;
        assert_eq!(ask(&flow.view(), all).await, expected, "seed {seed}, stored");
        let stats = flow.stats();
        let dues: Vec<u64> = stats.runs["adds"].iter().map(|it| it.due_ms).collect();
        let mut once = dues.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(dues, once, "seed {seed}: each moment once, in order");
    }
}

#[tokio::test]
async fn a_step_that_fails_is_tried_again_and_those_before_it_are_not() {
    let tables = [
        ("first.sql", "/*\ncron = '0-59/10 * * * *'\n*/\nSELECT id, total FROM orders"),
        (
            "second.sql",
            "/*\nafter = 'first'\nretries = 1\nretry_after = '1 minute'\n*/\n\
             SELECT 100 / sum(total) AS share FROM first",
        ),
        ("third.sql", "/*\nafter = ['second']\n*/\nSELECT share * 2 AS twice FROM second"),
    ];
    let mut world = World::new(&files(&tables)).await;
    let mut flow = open(&world).await;
    send(&world, &[(1, 5), (2, -5)]).await;
    world.pass(Duration::from_secs(600));
    for _ in 0..3 {
        work(&mut flow).await;
    }
    assert_eq!(runs(&flow, "first"), "+600s cron done 1 rows=2\n");
    assert!(runs(&flow, "second").starts_with("+600s after retrying 1 rows=- "));
    assert_eq!(runs(&flow, "third"), "");
    assert!(flow.stats().tables["second"].error.is_some(), "it says that it is stale");
    // The program ends between two attempts: the second one comes when it should.
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let mut flow = open(&world).await;
    work(&mut flow).await;
    assert!(runs(&flow, "second").starts_with("+600s after retrying 1 "));
    assert!(flow.stats().tables["second"].error.is_some());
    world.pass(Duration::from_secs(60));
    work(&mut flow).await;
    assert!(
        runs(&flow, "second").starts_with("+600s after failed 2 "),
        "{}",
        runs(&flow, "second")
    );
    // The next run of the first starts it again, and it is well by then.
    send(&world, &[(3, 50)]).await;
    world.pass(Duration::from_secs(600));
    for _ in 0..4 {
        work(&mut flow).await;
    }
    assert_eq!(runs(&flow, "first").lines().count(), 2);
    assert_eq!(runs(&flow, "second").lines().last().unwrap(), "+1260s after done 1 rows=1");
    assert_eq!(runs(&flow, "third"), "+1260s after done 1 rows=1\n");
    assert_eq!(ask(&flow.view(), "SELECT twice FROM third").await, "{\"twice\":4}\n");
    assert_eq!(flow.stats().tables["second"].error, None);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let slow = "/*\ncron = '* * * * *'\ntimeout = '5 seconds'\nretries = 0\n*/\n\
                SELECT count(*) AS n FROM orders a, orders b, orders c, orders d \
                WHERE a.total + b.total + c.total < d.total";
    let world = World::new(&files(&[("slow.sql", slow)])).await;
    let mut flow = open(&world).await;
    let orders: Vec<(u32, i64)> = (0..300).map(|it| (it, 1)).collect();
    send(&world, &orders).await;
    flow.tick().await.unwrap();
    world.pass(Duration::from_secs(60));
    flow.tick().await.unwrap();
    assert!(runs(&flow, "slow").contains("+60s cron running 1"));
    world.pass(Duration::from_secs(6));
    flow.tick().await.unwrap();
    expect![[r#"
        +60s cron failed 1 rows=- it took longer than its `timeout` of 5 seconds
    "#]]
    .assert_eq(&runs(&flow, "slow"));
}

#[tokio::test]
async fn only_so_many_run_at_the_same_time() {
    let slow = "/*\ncron = '* * * * *'\n*/\nSELECT count(*) AS n FROM orders a, orders b";
    let world = World::new(&files(&[("one.sql", slow), ("two.sql", slow)])).await;
    let mut setup = world.setup();
    setup.settings.runs = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let mut flow = Flow::open(setup).await.unwrap();
    flow.is_running = true;
    let orders: Vec<(u32, i64)> = (0..50).map(|it| (it, 1)).collect();
    send(&world, &orders).await;
    flow.tick().await.unwrap();
    world.pass(Duration::from_secs(60));
    flow.tick().await.unwrap();
    assert!(runs(&flow, "one").contains("running"));
    assert_eq!(runs(&flow, "two"), "");
    assert_eq!(flow.stats().tables["two"].waits_for.as_deref(), Some("other runs to end"));
    for _ in 0..3 {
        work(&mut flow).await;
    }
    assert!(runs(&flow, "two").contains("+60s cron done"), "{}", runs(&flow, "two"));
    assert_eq!(flow.stats().tables["two"].waits_for, None);
}

#[tokio::test]
async fn a_new_object_starts_a_run() {
    let project = format!("{PROJECT}\n[bucket.landing]\nfrom = \"landing\"\n");
    let loaded = "/*\non = 'new object in landing'\n*/\nSELECT count(*) AS n FROM orders";
    let files = [("mainstem.toml", project.as_str()), ("loaded.sql", loaded)];
    let mut world = World::new(&files).await;
    assert_eq!(world.plan.flows.len(), 1);
    let event = |kind: &str, key: &str| {
        format!(r#"{{"event":"{kind}","key":"{key}","at":"2026-01-05T10:00:00Z"}}"#)
    };
    let mut flow = open(&world).await;
    send(&world, &[(1, 1)]).await;
    work(&mut flow).await;
    assert_eq!(runs(&flow, "loaded"), "");
    world.send("landing_events", &[&event("created", "a"), &event("created", "b")]).await;
    work(&mut flow).await;
    work(&mut flow).await;
    assert_eq!(runs(&flow, "loaded"), "+0s object done 1 rows=1\n", "one for both");
    world.send("landing_events", &[&event("deleted", "a")]).await;
    work(&mut flow).await;
    assert_eq!(runs(&flow, "loaded").lines().count(), 1);
    world.send("landing_events", &[&event("changed", "b")]).await;
    flow.flush().await.unwrap();
    drop(flow);
    world.crash();
    let mut flow = open(&world).await;
    for _ in 0..3 {
        work(&mut flow).await;
    }
    assert_eq!(runs(&flow, "loaded").lines().count(), 2, "{}", runs(&flow, "loaded"));
    assert!(flow.stats().runs["loaded"].iter().all(|it| it.state == RunState::Done));
}

#[tokio::test]
async fn a_run_reads_only_what_is_new_and_adds_to_what_is_there() {
    let names = "/*\nevery = '1 minute'\nreads = 'new'\n*/\n\
                 SELECT o.id, (SELECT max(total) FROM orders) AS top FROM orders o WHERE 0 < total";
    let world = World::new(&files(&[("adds.sql", names)])).await;
    let mut flow = open(&world).await;
    send(&world, &[(1, 5), (2, -1)]).await;
    work(&mut flow).await;
    flow.flush().await.unwrap();
    send(&world, &[(3, 2)]).await;
    world.pass(Duration::from_secs(61));
    work(&mut flow).await;
    work(&mut flow).await;
    expect![[r#"
        {"id":1,"top":5}
        {"id":3,"top":2}
    "#]]
    .assert_eq(&ask(&flow.view(), "SELECT * FROM adds").await);
    assert_eq!(flow.stats().runs["adds"].iter().filter_map(|it| it.rows_out).sum::<u64>(), 2);
}

/// Fails unless a project is refused for each of these reasons.
async fn says(files: &[(&str, &str)], reasons: &[&str]) {
    let faults = plan_of(files).await.unwrap_err().to_string();
    for reason in reasons {
        assert!(faults.contains(reason), "not told: {reason}\n{faults}");
    }
}

#[tokio::test]
async fn schedules_that_can_never_work_are_faults() {
    let tables = [
        ("a.sql", "/*\ncron = 'often'\n*/\nSELECT id FROM orders"),
        ("b.sql", "/*\ncron = '* * * * *'\nevery = '1 hour'\n*/\nSELECT id FROM orders"),
        ("c.sql", "/*\nafter = 'd'\n*/\nSELECT id FROM orders"),
        ("d.sql", "/*\nafter = 'c'\n*/\nSELECT id FROM orders"),
        ("e.sql", "/*\non = 'new file in landing'\nmissed = 'skip'\n*/\nSELECT id FROM orders"),
        ("f.sql", "/*\non = 'new object in landing'\n*/\nSELECT id FROM orders"),
        ("g.sql", "/*\nafter = ['g', 'h']\n*/\nSELECT id FROM orders"),
        ("h.sql", "/*\nreads = 'new'\n*/\nSELECT id FROM orders"),
    ];
    says(
        &files(&tables),
        &[
            "b.sql:2:8: a table is started by one thing",
            "`c` runs after itself, by way of others",
            "`d` runs after itself, by way of others",
            "`new file in landing` starts nothing",
            "`missed` without `cron`",
            "there is no bucket `landing`",
            "`g` cannot run after itself",
            "`reads` without anything that starts a run",
        ],
    )
    .await;
    let tables = [
        ("a.sql", "/*\ncron = 'often'\n*/\nSELECT id FROM orders"),
        ("b.sql", "SELECT id FROM orders"),
        ("c.sql", "/*\nafter = 'b'\n*/\nSELECT id FROM orders"),
        ("d.sql", "/*\nevery = '1 hour'\nreads = 'new'\n*/\nSELECT id FROM c"),
    ];
    says(
        &files(&tables),
        &[
            "a.sql:2:8: `often` is no schedule",
            "`b` has no runs: it follows what it reads by itself",
            "`reads = \"new\"`, but `d` reads no stream",
        ],
    )
    .await;
}
