//! Tables served by key: what is read is what SQL says, while rows come, are corrected and stored,
//! and after kills.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Program, is_slow_welcome, number, printed};

const PROJECT: &str = r#"
[project]
name  = "history"
flush = "150 ms"

[stream.orders]
time   = "ts"
key    = "customer"
shards = 2

[stream.orders.columns]
customer = "text not null"
ts       = "timestamp not null"
id       = "int not null"
total    = "decimal(12,2)"

[table.history]
serve = { key = "customer", sort = "ts" }
sql   = "SELECT customer, ts, id, total FROM orders"

[table.latest]
serve = { key = "customer", sort = "ts", latest = 5 }
sql   = "SELECT customer, ts, id FROM orders WHERE id % 2 = 0"

[table.by_minute]
serve = { key = "customer", sort = "minute" }
sql   = "SELECT customer, tumble(ts, '1 minute') AS minute, count(*) AS orders FROM orders GROUP BY customer, minute"

[table.named]
serve = { key = "customer", sort = "name" }
sql   = "SELECT customer, 'o' || CAST(id AS VARCHAR) AS name FROM orders"

[table.spent]
serve   = "customer"
publish = "1 second"
sql     = "SELECT customer, count(*) AS orders, sum(total) AS total FROM orders GROUP BY customer"
"#;

const CUSTOMERS: [&str; 4] = ["ann", "an", "b/c?d é", "x"];

fn start(folder: &Path) -> Program {
    std::fs::write(folder.join("mainstem.toml"), PROJECT).unwrap();
    Program::start(folder, &folder.join(".mainstem"))
}

/// Sends orders; some are late enough to correct windows that are over.
async fn send(program: &Program, random: &mut fastrand::Rng, first: u64, count: u64) {
    let lines: String = (first..first + count)
        .map(|id| {
            let late = if random.u64(0..10) == 0 { random.u64(0..600) } else { 0 };
            let second = (id / 5 + 600).saturating_sub(late);
            let ts = format!("2026-01-05T10:{:02}:{:02}Z", second / 60 % 60, second % 60);
            let customer = CUSTOMERS[random.usize(0..CUSTOMERS.len())];
            let total = format!("{}.{:02}", random.u32(0..1_000), random.u32(0..100));
            json!({"customer": customer, "ts": ts, "id": id, "total": total}).to_string() + "\n"
        })
        .collect();
    let (status, answer) = program.send("orders", lines, None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
}

/// Reads all rows of a key, a page after the other.
async fn read(program: &Program, table: &str, key: &str, order: &str, limit: usize) -> Vec<Value> {
    read_some(program, (table, key), &[("order", order)], limit).await
}

async fn read_some(
    program: &Program,
    (table, key): (&str, &str),
    wanted: &[(&str, &str)],
    limit: usize,
) -> Vec<Value> {
    let client = reqwest::Client::new();
    let (mut rows, mut after) = (Vec::new(), None::<String>);
    for _ in 0..10_000 {
        let mut url = reqwest::Url::parse(&program.url("/v1/tables")).unwrap();
        url.path_segments_mut().unwrap().push(table).push(key);
        url.query_pairs_mut().extend_pairs(wanted).append_pair("limit", &limit.to_string());
        if let Some(after) = &after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let answer = client.get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        if status == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        assert_eq!(status, 200, "{answer}");
        rows.extend(answer["rows"].as_array().unwrap().iter().cloned());
        match answer["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return rows,
        }
    }
    panic!("the pages do not end");
}

fn columns(rows: &[Value], names: &[&str]) -> Vec<Vec<Value>> {
    rows.iter().map(|row| names.iter().map(|it| row[*it].clone()).collect()).collect()
}

/// What is read by key is what SQL says, for every table and key.
async fn compare(program: &Program, random: &mut fastrand::Rng) {
    for customer in CUSTOMERS {
        let quoted = customer.replace('\'', "''");
        let limit = random.usize(1..400);
        let cases = [
            ("history", "ts, id", "ORDER BY ts, id", "asc"),
            ("by_minute", "minute, orders", "ORDER BY minute", "asc"),
            ("by_minute", "minute, orders", "ORDER BY minute DESC", "desc"),
            ("spent", "orders, total", "", "asc"),
        ];
        for (table, names, order_by, order) in cases {
            let sql = format!("SELECT {names} FROM {table} WHERE customer = '{quoted}' {order_by}");
            let names: Vec<&str> = names.split(", ").collect();
            let mut found = columns(&read(program, table, customer, order, limit).await, &names);
            if table == "history" {
                assert!(found.is_sorted_by_key(|it| it[0].as_str().unwrap().to_owned()));
                found.sort_by_key(|it| (it[0].as_str().unwrap().to_owned(), it[1].as_i64()));
            }
            assert_eq!(found, program.sql(&sql).await, "{table} {customer} {order} {limit}");
        }
        let sql =
            format!("SELECT ts FROM latest WHERE customer = '{quoted}' ORDER BY ts DESC LIMIT 5");
        let found = columns(&read(program, "latest", customer, "desc", 2).await, &["ts"]);
        assert_eq!(found, program.sql(&sql).await, "latest of {customer}");
        let mut back = columns(&read(program, "latest", customer, "asc", 3).await, &["ts"]);
        back.reverse();
        assert_eq!(back, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_by_key_is_what_sql_says_also_after_kills() {
    let seed = number("SEED", 20_260_105);
    let rounds = number("KILLS", if is_slow_welcome() { 12 } else { 4 });
    eprintln!("SEED={seed} KILLS={rounds}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut program = start(folder.path());
    let mut sent = 0;
    for round in 0..rounds {
        for _ in 0..random.u64(1..6) {
            let count = random.u64(1..400);
            send(&program, &mut random, sent, count).await;
            sent += count;
            tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        }
        program.settle("orders").await;
        compare(&program, &mut random).await;
        // A little later rows have moved from memory into files and the index.
        tokio::time::sleep(Duration::from_millis(random.u64(0..500))).await;
        compare(&program, &mut random).await;
        program.kill();
        if round % 4 == 3 {
            std::fs::remove_dir_all(folder.path().join(".mainstem/served")).unwrap();
        }
        program = start(folder.path());
        program.settle("orders").await;
        compare(&program, &mut random).await;
    }
    assert_eq!(program.value("SELECT count(*) FROM history").await, sent);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn serving_comes_changes_and_goes_with_the_project() {
    let folder = tempfile::tempdir().unwrap();
    let program = start(folder.path());
    let mut random = fastrand::Rng::with_seed(1);
    send(&program, &mut random, 0, 2_000).await;
    program.settle("orders").await;
    let apply = |from: &str, to: &str| {
        assert!(PROJECT.contains(from), "{from}");
        std::fs::write(folder.path().join("mainstem.toml"), PROJECT.replace(from, to)).unwrap();
        printed(&["apply", folder.path().to_str().unwrap()])
    };
    // Another column is the key: the index is built of what is stored.
    let told = apply(
        "key = \"customer\", sort = \"ts\" }\nsql   = \"SELECT customer, ts, id, total",
        "key = \"id\", sort = \"ts\" }\nsql   = \"SELECT customer, ts, id, total",
    );
    assert!(told.contains("~ table history") && told.contains("no data moves"), "{told}");
    send(&program, &mut random, 2_000, 10).await;
    program.settle("orders").await;
    for id in [7, 2_003] {
        let found = read(&program, "history", &id.to_string(), "asc", 10).await;
        assert_eq!(columns(&found, &["id"]), [[json!(id)]]);
    }
    // Other rows: those that were built beside are found.
    apply("WHERE id % 2 = 0", "WHERE id % 2 = 1");
    let sql = "SELECT ts, id % 2 FROM latest WHERE customer = 'ann' ORDER BY ts DESC LIMIT 5";
    let found = read(&program, "latest", "ann", "desc", 10).await;
    let odd: Vec<Vec<Value>> = found
        .iter()
        .map(|it| vec![it["ts"].clone(), json!(it["id"].as_i64().unwrap() % 2)])
        .collect();
    assert_eq!(odd, program.sql(sql).await);
    apply("serve   = \"customer\"\n", "");
    let answer = reqwest::get(program.url("/v1/tables/spent/ann")).await.unwrap();
    assert_eq!(answer.status(), 404);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["message"], "table `spent` is not served by key");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_back_to_is_read_by_key_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = start(folder.path());
    let mut random = fastrand::Rng::with_seed(2);
    let newest = |table: &str| {
        format!(
            "SELECT rows, version FROM system.versions WHERE name = '{table}' ORDER BY version DESC LIMIT 1"
        )
    };
    send(&program, &mut random, 0, 500).await;
    program.settle("orders").await;
    program.until(&newest("history"), 500).await;
    let mut versions = Vec::new();
    for table in ["history", "by_minute"] {
        versions.push((table, program.sql(&newest(table)).await[0][1].to_string()));
    }
    send(&program, &mut random, 500, 700).await;
    program.settle("orders").await;
    let dir = folder.path().to_str().unwrap();
    for (table, version) in &versions {
        let told = printed(&["restore", table, "--version", version, "--dir", dir]);
        assert!(told.contains(&format!("of version {version} again")), "{told}");
        compare(&program, &mut random).await;
    }
    assert_eq!(program.count("SELECT count(*) FROM history").await, 500);
    // The tables go on from there, through a kill as well.
    send(&program, &mut random, 1_200, 300).await;
    program.settle("orders").await;
    compare(&program, &mut random).await;
    program.kill();
    program = start(folder.path());
    program.settle("orders").await;
    compare(&program, &mut random).await;
    assert_eq!(program.count("SELECT count(*) FROM history").await, 800);
    program.stop();
}
