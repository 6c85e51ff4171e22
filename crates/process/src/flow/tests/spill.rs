//! More groups than fit in memory.

use std::time::Duration;

use super::{World, ask, assert_conserved};
use crate::flow::Flow;

const STREAMS: &str = "[stream.clicks]\ntime = \"ts\"\n[stream.clicks.columns]\n\
    id = \"int not null\"\nts = \"timestamp not null\"\npage = \"text\"\n";

/// Totals and windows of as many groups as there are records, and a few more.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "totals.sql",
        "SELECT page, count(*) AS n, sum(id) AS ids, max(ts) AS last FROM clicks GROUP BY page",
        "totals",
    ),
    (
        "by_hour.sql",
        "SELECT tumble(ts, '1 hour') AS hour, page, count(*) AS n, min(id) AS first, \
         count(DISTINCT id) AS ids FROM clicks GROUP BY hour, page",
        "by_hour",
    ),
    (
        "by_hop.sql",
        "SELECT hop(ts, '10 minutes', '30 minutes') AS start, page, avg(id) AS mean FROM clicks \
         GROUP BY start, page",
        "by_hop",
    ),
    (
        "places.sql",
        "SELECT page, count(*) AS n, rank() OVER (ORDER BY count(*) DESC, page) AS place FROM clicks \
         GROUP BY page",
        "places",
    ),
];

fn files() -> Vec<(&'static str, &'static str)> {
    let tables = TABLES.iter().map(|(file, sql, _)| (*file, *sql));
    [("mainstem.toml", STREAMS)].into_iter().chain(tables).collect()
}

/// Sends clicks on pages that come again after a while, two hours long.
async fn send(world: &World, numbers: std::ops::Range<usize>) {
    let line = |it: usize| {
        let (minute, page) = (it / 25 % 120, it * 7_919 % 1_500);
        let (hour, minute) = (10 + minute / 60, minute % 60);
        format!(
            r#"{{"id":{it},"ts":"2026-01-05T{hour:02}:{minute:02}:{:02}Z","page":"/p{page}"}}"#,
            it % 60
        )
    };
    let lines: Vec<String> = numbers.map(line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    world.send("clicks", &lines).await;
}

async fn check(flow: &Flow, place: &str) {
    assert_conserved(flow);
    let view = flow.view();
    for (_, sql, table) in TABLES {
        let is = ask(&view, &format!("SELECT * FROM {table}")).await;
        let is = is.replace(",\"_final\":true", "").replace(",\"_final\":false", "");
        let should = ask(&view, sql).await;
        assert!(
            is == should,
            "{place}, {table}: {} rows, {} should be",
            is.lines().count(),
            should.lines().count()
        );
        assert!(!is.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn groups_beyond_the_memory_are_on_disk_and_all_totals_stay_exact() {
    let mut world = World::new(&files()).await;
    let memory = 128 << 10;
    world.settings.state_bytes_max = memory;
    let mut flow = world.open().await;
    let (mut sent, mut on_disk_most) = (0, 0);
    for round in 0..12 {
        send(&world, sent..sent + 500).await;
        sent += 500;
        flow.tick_all().await.unwrap();
        if round % 2 == 1 {
            flow.flush().await.unwrap();
        }
        let stats = flow.stats();
        on_disk_most = on_disk_most.max(stats.spilled_bytes);
        assert!(
            stats.state_bytes <= memory as u64,
            "{round}: {} bytes in memory",
            stats.state_bytes
        );
        if round % 3 == 2 {
            check(&flow, &format!("round {round}")).await;
        }
        if round % 4 == 3 {
            drop(flow);
            world.crash();
            flow = world.open().await;
            flow.tick_all().await.unwrap();
            check(&flow, &format!("after kill {round}")).await;
        }
    }
    assert!(memory as u64 * 3 < on_disk_most, "{on_disk_most} bytes on disk");
    // What has passed needs no place any more.
    world.send("clicks", &[r#"{"id":0,"ts":"2026-01-06T10:00:00Z","page":"/p0"}"#]).await;
    flow.tick_all().await.unwrap();
    check(&flow, "closed").await;
    for _ in 0..2 {
        world.pass(Duration::from_secs(120));
        world.send("clicks", &[r#"{"id":0,"ts":"2026-01-06T10:00:01Z","page":"/p0"}"#]).await;
        flow.tick_all().await.unwrap();
        flow.flush().await.unwrap();
    }
    check(&flow, "stored").await;
    let stats = flow.stats();
    for table in ["by_hour", "by_hop"] {
        assert_eq!(stats.tables[table].spilled_groups, 0, "{table}");
    }
    let disk = world.disk.as_disk();
    let files = disk.list(std::path::Path::new("/flows")).unwrap();
    assert!(files.len() < 30, "{files:?}");
}
