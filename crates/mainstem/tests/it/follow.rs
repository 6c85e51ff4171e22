//! What became of one record, what an alert would have told, and rejects that are sent again.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Program, mainstem, printed};

const PROJECT: &str = r#"
[project]
name  = "till"
flush = "300 ms"

[stream.orders]
time = "ts"

[stream.orders.columns]
ts     = "timestamp not null"
region = "text not null"
total  = "int not null"

[stream.orders.checks]
is_positive = "total > 0"
is_small    = "total < 1000"

[table.orders_clean]
sql = "SELECT ts, upper(region) AS region, total FROM orders"

[table.by_minute]
sql = "SELECT tumble(ts, '1 minute') AS minute, region, sum(total) AS revenue FROM orders_clean GROUP BY minute, region"

[table.by_region]
sql = "SELECT region, count(*) AS orders FROM orders_clean GROUP BY region"

[alert.spike]
sql   = "SELECT region, minute, revenue FROM by_minute WHERE revenue > 100"
key   = ["region"]
title = "Spike in {region}: {revenue}"
"#;

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("mainstem.toml"), text).unwrap();
}

fn start(folder: &Path) -> Program {
    Program::start(folder, &folder.join(".mainstem"))
}

async fn order(program: &Program, ts: &str, region: &str, total: i64) {
    let line = json!({"ts": ts, "region": region, "total": total}).to_string();
    let (status, answer) = program.send("orders", line, None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    program.settle("orders").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_followed_from_its_bytes_to_the_alert() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), PROJECT);
    let dir = folder.path().to_str().unwrap();
    let program = start(folder.path());
    order(&program, "2026-01-05T10:00:10Z", "fr", 150).await;
    order(&program, "2026-01-05T10:00:20Z", "fr", -5).await;
    order(&program, "2026-01-05T10:01:10Z", "de", 1).await;
    let mut told = String::new();
    for _ in 0..100 {
        told = printed(&["trace", "orders", "0:0", "--dir", dir]);
        if told.contains("firing since") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for part in [
        "orders 0:0: stored, arrived 20",
        r#"{"region":"fr","total":150,"ts":"2026-01-05T10:00:10Z"}"#,
        "orders_clean (append): 1 row",
        "ts=2026-01-05T10:00:10Z region=FR total=150",
        "by_minute (windowed): 1 group",
        "(window 2026-01-05T10:00:00Z to 2026-01-05T10:01:00Z, final)",
        "is now revenue=150",
        "by_region (running): 1 group",
        "is now orders=1",
        "alert spike: alarming by its SELECT",
        "Spike in FR: 150",
    ] {
        assert!(told.contains(part), "no {part} in\n{told}");
    }
    let told = printed(&["trace", "orders", "0:1", "--dir", dir]);
    assert!(told.contains("orders__dead: 1 dead letter") && told.contains("is_positive"), "{told}");
    let told = printed(&["trace", "orders", "0:0", "--dir", dir, "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["state"], "stored");
    let tables = told["tables"].as_array().unwrap();
    let minute = tables.iter().find(|it| it["table"] == "by_minute").unwrap();
    assert_eq!(minute["found"]["groups"][0]["rows"][0]["revenue"], 150);
    for (arguments, message) in [
        (["trace", "orders", "0:3", "--dir", dir], "the next record of shard 0 will be 3"),
        (["trace", "orders", "7:0", "--dir", dir], "has no shard 7"),
        (["trace", "ordres", "0:0", "--dir", dir], "did you mean `orders`?"),
    ] {
        let output = mainstem(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(message), "{said}");
    }
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_asks_the_running_program_and_the_stored_tables_alike() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), PROJECT);
    let dir = folder.path().to_str().unwrap();
    let program = start(folder.path());
    for (minute, total) in [150, 10, 10, 200, 300, 10, 10].into_iter().enumerate() {
        order(&program, &format!("2026-01-05T10:{minute:02}:00Z"), "fr", total).await;
    }
    let expected = json!([
        ["2026-01-05T10:01:00Z", "2026-01-05T10:02:00Z", "Spike in FR: 150"],
        ["2026-01-05T10:04:00Z", "2026-01-05T10:06:00Z", "Spike in FR: 200"],
    ]);
    let told = |arguments: &[&str]| {
        let told: Value = serde_json::from_str(&printed(arguments)).unwrap();
        let firings = told["firings"].as_array().unwrap().iter();
        Value::from_iter(firings.map(|it| json!([it["fired"], it["resolved"], it["title"]])))
    };
    let backtest = ["alert", "backtest", "spike", dir, "--json"];
    assert_eq!(told(&backtest), expected);
    let text = printed(&["alert", "backtest", "spike", dir, "--last", "30d"]);
    assert!(text.contains("2 firings of 1 key in 6 windows"), "{text}");
    // An alert that is only written down can be tried before it is put to work.
    write(folder.path(), &PROJECT.replace("revenue > 100", "revenue > 250"));
    let text = printed(&["alert", "backtest", "spike", dir]);
    assert!(text.contains("1 firing of 1 key") && text.contains("Spike in FR: 300"), "{text}");
    write(folder.path(), PROJECT);
    program.stop();
    assert_eq!(told(&backtest), expected, "of the stored tables");
    let output = mainstem(&["alert", "backtest", "spiky", dir]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("did you mean `spike`?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reject_is_sent_again_once_by_the_rules_of_today() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), PROJECT);
    let dir = folder.path().to_str().unwrap();
    let program = start(folder.path());
    for total in [5, 2_000, -1, 3_000, 50_000] {
        order(&program, "2026-01-05T10:00:10Z", "fr", total).await;
    }
    let counts = program.settle("orders").await;
    assert_eq!((counts.stored, counts.dead), (1, 4));
    program.stop();

    write(folder.path(), &PROJECT.replace("total < 1000", "total < 10000"));
    let program = start(folder.path());
    let replay = |more: &[&str]| {
        printed(&[&["dead", "replay", "orders", "--dir", dir][..], more].concat()).trim().to_owned()
    };
    assert_eq!(replay(&["--place", "0:3"]), "1 replayed: 1 stored, 0 dead again");
    assert_eq!(replay(&["--check", "is_positive"]), "1 replayed: 0 stored, 1 dead again");
    assert_eq!(replay(&[]), "3 replayed: 1 stored, 2 dead again");
    // What was told is kept, whatever happens next.
    program.kill();
    let program = start(folder.path());
    let counts = program.settle("orders").await;
    assert_eq!((counts.received, counts.stored, counts.dead), (5, 3, 2));
    assert_eq!(replay(&[]), "2 replayed: 0 stored, 2 dead again");
    let rows = "SELECT count(*), count(DISTINCT _sequence), sum(total) FROM orders";
    assert_eq!(program.sql(rows).await, [[json!(3), json!(3), json!(5_005)]]);
    let minute = "SELECT sum(revenue) FROM by_minute";
    assert_eq!(program.value(minute).await, 5_005);
    let states = "SELECT state, count(*) FROM orders__dead GROUP BY state ORDER BY state";
    assert_eq!(
        program.sql(states).await,
        [[json!("dead"), json!(2)], [json!("replayed"), json!(2)]]
    );
    let told = printed(&["trace", "orders", "0:1", "--dir", dir]);
    assert!(told.contains("rejected at first, then replayed and stored"), "{told}");
    program.stop();
}
