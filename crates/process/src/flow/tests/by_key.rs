//! Joins near in time that go by a key: what new rows change is found by their keys, and is what one
//! question over all rows says.

use std::time::Duration;

use super::{World, ask, assert_conserved, plan_of, slow};
use crate::flow::Flow;
use crate::table::Body;

const PROJECT: &str = "[stream.orders]\ntime = \"ts\"\n[stream.orders.columns]\n\
    id = \"int not null\"\nts = \"timestamp not null\"\nwho = \"text\"\nplace = \"int\"\n\
    [stream.payments]\ntime = \"ts\"\n[stream.payments.columns]\n\
    id = \"int not null\"\nts = \"timestamp not null\"\npayer = \"text\"\nplace = \"decimal(9,0)\"\n";

/// Joins, and whether they go by a key.
const JOINS: &[(&str, &str, bool)] = &[
    (
        "inner_one",
        "SELECT o.id, o.ts, p.id AS payment FROM orders o JOIN payments p ON p.payer = o.who AND \
         p.ts BETWEEN o.ts - INTERVAL '1 minute' AND o.ts + INTERVAL '2 minutes'",
        true,
    ),
    (
        "left_one",
        "SELECT o.id, p.id AS payment, o.place + p.place AS places FROM orders o LEFT JOIN payments p \
         ON p.payer = o.who AND p.place <> o.place AND p.ts >= o.ts AND \
         p.ts < o.ts + INTERVAL '2 minutes'",
        true,
    ),
    (
        "where_one",
        "SELECT o.id, upper(o.who) AS who, p.ts FROM orders o, payments p WHERE o.who = p.payer AND \
         p.ts > o.ts AND p.ts <= o.ts + INTERVAL '90 seconds' AND o.place < 3",
        true,
    ),
    (
        "exists_one",
        "SELECT o.id, o.ts FROM orders o WHERE EXISTS (SELECT 1 FROM payments p WHERE p.payer = o.who \
         AND p.ts >= o.ts AND p.ts < o.ts + INTERVAL '1 minute')",
        true,
    ),
    (
        "not_exists_one",
        "SELECT o.id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM orders b WHERE b.who = o.who AND \
         b.ts < o.ts AND b.ts >= o.ts - INTERVAL '1 minute')",
        true,
    ),
    (
        "three",
        "SELECT o.id, p.id AS payment, b.id AS before FROM orders o JOIN payments p ON p.payer = o.who \
         AND p.ts >= o.ts AND p.ts < o.ts + INTERVAL '1 minute' LEFT JOIN orders b ON b.who = o.who \
         AND b.ts < o.ts AND b.ts >= o.ts - INTERVAL '30 seconds'",
        true,
    ),
    (
        "by_expression",
        "SELECT o.id, p.id AS payment FROM orders o JOIN payments p ON upper(p.payer) = upper(o.who) \
         AND p.ts >= o.ts AND p.ts < o.ts + INTERVAL '1 minute'",
        false,
    ),
    (
        "other_types",
        "SELECT o.id, p.id AS payment FROM orders o JOIN payments p ON p.place = o.place AND \
         p.ts >= o.ts AND p.ts < o.ts + INTERVAL '1 minute'",
        false,
    ),
    (
        "two_columns_of_itself",
        "SELECT o.id, b.id AS other FROM orders o JOIN orders b ON b.place = o.id AND b.ts >= o.ts \
         AND b.ts < o.ts + INTERVAL '1 minute'",
        false,
    ),
];

fn files() -> Vec<(String, &'static str)> {
    let tables = JOINS.iter().map(|(name, sql, _)| (format!("{name}.sql"), *sql));
    [("mainstem.toml".to_owned(), PROJECT)].into_iter().chain(tables).collect()
}

#[tokio::test]
async fn joins_by_equal_columns_go_by_a_key() {
    let files = files();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let plan = plan_of(&files).await.unwrap();
    let tables = || plan.flows.iter().flat_map(|it| &it.tables);
    for (name, _, goes_by_key) in JOINS {
        let table = tables().find(|it| it.name().as_str() == *name).unwrap();
        let slices = table.slices.as_ref().unwrap_or_else(|| panic!("{name} is computed whole"));
        let keyed = crate::plan::slices::keyed::keyed(&table.select, &slices.links);
        assert_eq!(keyed.is_some(), *goes_by_key, "{name}: {:?}", keyed.map(|it| it.columns));
    }
}

fn rows(random: &mut fastrand::Rng, step: u32, id: &mut u32, who: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..random.u32(1..10) {
        *id += 1;
        let late = if random.u32(0..8) == 0 { random.u32(0..400) } else { random.u32(0..40) };
        let second = (300 + step * 25).saturating_sub(late);
        let time = format!(
            "2026-01-05T10:{:02}:{:02}.{:03}Z",
            second / 60,
            second % 60,
            random.u32(0..4) * 250
        );
        let key = match random.u32(0..9) {
            8 => "null".to_owned(),
            it => format!("\"{}{it}\"", if it < 4 { "a customer with a long name " } else { "c" }),
        };
        let place = random.u32(0..5);
        lines.push(format!(r#"{{"id":{id},"ts":"{time}","{who}":{key},"place":{place}}}"#));
    }
    lines
}

async fn check(flow: &Flow, place: &str) {
    assert_conserved(flow);
    let view = flow.view();
    for (table, sql, _) in JOINS {
        let fields = view.tables[*table].schema.fields().iter().map(|it| it.name().as_str());
        let shown: Vec<&str> = fields.filter(|it| !it.starts_with('_')).collect();
        let is = ask(&view, &format!("SELECT {} FROM {table}", shown.join(", "))).await;
        assert_eq!(is, ask(&view, sql).await, "{place}, {table}");
    }
}

#[tokio::test]
async fn random_rows_simulated_join_as_one_question_says() {
    let files = files();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let plan = plan_of(&files).await.unwrap();
    for seed in 0..if slow() { 60 } else { 4 } {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::of(plan.clone(), 1, seed);
        if seed % 4 == 3 {
            world.settings.state_bytes_max = 30_000;
        }
        let mut flow = world.open().await;
        let (mut id, mut by_key) = (0, 0);
        for step in 0..24 {
            for (stream, who) in [("orders", "who"), ("payments", "payer")] {
                let lines = rows(&mut random, step, &mut id, who);
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                world.send(stream, &lines).await;
            }
            if random.u32(0..3) == 0 {
                world.pass(Duration::from_secs(60));
            }
            flow.tick_all().await.unwrap();
            match random.u32(0..8) {
                0 | 1 => drop(flow.flush().await.unwrap()),
                2 => {
                    by_key += looks_by_key(&flow);
                    drop(flow);
                    world.crash();
                    flow = world.open().await;
                    flow.tick_all().await.unwrap();
                }
                _ => {}
            }
            if step % 4 == 3 {
                check(&flow, &format!("seed {seed}, step {step}")).await;
            }
        }
        flow.flush().await.unwrap();
        check(&flow, &format!("seed {seed}, stored")).await;
        by_key += looks_by_key(&flow);
        assert!(20 < by_key, "seed {seed}: {by_key} looks went by keys");
    }
}

/// Returns how often tables were brought up to date by keys.
fn looks_by_key(flow: &Flow) -> u64 {
    let looks = flow.tables.iter().map(|it| match &it.body {
        Body::Sliced(sliced) => sliced.looks_by_key(),
        _ => 0,
    });
    looks.sum()
}
