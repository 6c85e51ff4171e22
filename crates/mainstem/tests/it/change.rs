//! The project of a running program is changed under it: what is asked and sent meanwhile goes on.

use std::path::Path;
use std::time::Duration;

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
is_small = "total < 1000"

[table.orders_clean]
sql = "SELECT ts, upper(region) AS region, total FROM orders"

[table.by_minute]
sql = "SELECT tumble(ts, '1 minute') AS minute, region, sum(total) AS revenue FROM orders_clean GROUP BY minute, region"

[alert.spike]
sql   = "SELECT region, minute, revenue FROM by_minute WHERE revenue > 100"
key   = ["region"]
title = "Spike in {region}: {revenue}"

[dashboard.sales]

[[dashboard.sales.chart]]
type = "line"
from = "by_minute"
x    = "minute"
y    = "revenue"
"#;

/// A project in a folder, and the program that runs it.
struct Shop {
    folder: tempfile::TempDir,
    program: Program,
}

impl Shop {
    fn start() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), PROJECT);
        let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
        Shop { folder, program }
    }

    fn dir(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Writes the project with some texts replaced, and applies it.
    fn apply(&self, replaced: &[(&str, &str)]) -> String {
        write(self.folder.path(), &with(replaced));
        printed(&["apply", self.dir(), "--breaking"])
    }

    async fn order(&self, ts: &str, region: &str, total: i64) {
        let line = json!({"ts": ts, "region": region, "total": total}).to_string();
        let (status, answer) = self.program.send("orders", line, None).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("mainstem.toml"), text).unwrap();
}

fn with(replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(PROJECT.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_no_data_is_changed_at_once() {
    let shop = Shop::start();
    for (minute, total) in [(0, 150), (1, 50), (2, 150), (3, 5)] {
        shop.order(&format!("2026-01-05T10:0{minute}:00Z"), "fr", total).await;
    }
    shop.program.settle("orders").await;
    let told = shop.apply(&[
        ("revenue > 100", "revenue > 40"),
        ("Spike in", "Surge in"),
        ("total < 1000", "total < 10000"),
        ("[dashboard.sales]", "[dashboard.sales]\ntitle = \"Sales now\""),
    ]);
    for part in ["3 changed", "alert spike", "no data moves", "applied; what differs stood still"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    // The window after the next makes the one of 10:03 final, which is calm.
    shop.order("2026-01-05T10:04:00Z", "fr", 5_000).await;
    shop.order("2026-01-05T10:05:00Z", "fr", 50).await;
    let counts = shop.program.settle("orders").await;
    assert_eq!((counts.stored, counts.dead), (6, 0), "the check of today");
    let title = "SELECT title FROM system.alerts WHERE state = 'firing'";
    for _ in 0..50 {
        if shop.program.value(title).await == "Surge in FR: 5000" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(shop.program.value(title).await, "Surge in FR: 5000");
    let dashboards: Value =
        reqwest::get(shop.program.url("/v1/dashboards")).await.unwrap().json().await.unwrap();
    assert_eq!(dashboards[0]["title"], "Sales now");
    let told = printed(&["apply", shop.dir()]);
    assert!(told.contains("nothing differs from what runs"), "{told}");
    shop.program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn words_about_columns_are_known_at_once_and_told_to_other_programs() {
    let shop = Shop::start();
    shop.order("2026-01-05T10:00:00Z", "fr", 10).await;
    shop.program.settle("orders").await;
    let said = "{ type = \"int not null\", description = \"what was paid\" }";
    let told = shop.apply(&[
        ("total  = \"int not null\"", &format!("total  = {said}")),
        ("sql = \"SELECT tumble", "columns.revenue = \"what was paid\"\nsql = \"SELECT tumble"),
    ]);
    for part in ["2 changed", "its descriptions of columns", "no data moves"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let said = "SELECT name, column_name, description FROM system.columns \
                WHERE description IS NOT NULL ORDER BY name";
    let row = |name: &str, column: &str| vec![json!(name), json!(column), json!("what was paid")];
    let expected = [row("by_minute", "revenue"), row("orders", "total")];
    assert_eq!(shop.program.sql(said).await, expected);
    let shown = printed(&["catalog", "show", "by_minute", "--http", &shop.program.http]);
    assert!(shown.contains("what was paid"), "{shown}");
    for table in ["orders", "by_minute"] {
        let log = shop.folder.path().join(".mainstem/lake").join(table).join("_delta_log");
        let entries = std::fs::read_dir(log).unwrap().map(|it| it.unwrap().path());
        let text: String =
            entries.map(|it| std::fs::read_to_string(it).unwrap_or_default()).collect();
        assert!(text.contains("what was paid"), "{table}: {text}");
    }
    shop.program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_streams_come_change_and_go() {
    let shop = Shop::start();
    for (minute, region) in [(0, "fr"), (1, "de"), (2, "fr")] {
        shop.order(&format!("2026-01-05T10:0{minute}:00Z"), region, 10).await;
    }
    shop.program.settle("orders").await;
    // A changed table takes those above along; a new one has all rows there are.
    let by_region = "\n[table.by_region]\nsql = \"SELECT region, count(*) AS orders FROM orders GROUP BY region\"\n";
    let visits = "\n[stream.visits]\ncolumns = { page = \"text not null\" }\n";
    let changed = [
        ("upper(region)", "lower(region)"),
        ("\n[alert.spike]", &format!("{by_region}{visits}\n[alert.spike]")),
    ];
    let told = shop.apply(&changed);
    for part in
        ["+ stream visits", "+ table by_region", "~ table orders_clean", "> table by_minute"]
    {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let minutes = "SELECT region, sum(revenue) FROM by_minute GROUP BY region ORDER BY region";
    let expected = [vec![json!("de"), json!(10)], vec![json!("fr"), json!(20)]];
    assert_eq!(shop.program.sql(minutes).await, expected);
    let regions = "SELECT region, orders FROM by_region ORDER BY region";
    let expected = [vec![json!("de"), json!(1)], vec![json!("fr"), json!(2)]];
    assert_eq!(shop.program.sql(regions).await, expected);
    let (status, _) =
        shop.program.send("visits", "{\"page\":\"/\"}".to_owned(), None).await.unwrap();
    assert_eq!(status, 200);
    shop.program.settle("visits").await;
    // All of it follows what comes in.
    shop.order("2026-01-05T10:03:00Z", "it", 7).await;
    shop.program.settle("orders").await;
    assert_eq!(shop.program.value("SELECT sum(revenue) FROM by_minute").await, 37);
    assert_eq!(shop.program.value("SELECT sum(orders) FROM by_region").await, 4);
    // A restart finds it so.
    let Shop { folder, program } = shop;
    program.kill();
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    let shop = Shop { folder, program };
    assert_eq!(shop.program.value("SELECT sum(revenue) FROM by_minute").await, 37);
    // What is dropped is gone, and its door is closed.
    let told = shop.apply(&[]);
    assert!(told.contains("table `by_region` is gone"), "{told}");
    let (status, _) =
        shop.program.send("visits", "{\"page\":\"/\"}".to_owned(), None).await.unwrap();
    assert_eq!(status, 404);
    let said = mainstem(&["sql", "--dir", shop.dir(), "SELECT * FROM by_region"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("`by_region` not found"));
    let minutes = "SELECT region, sum(revenue) FROM by_minute GROUP BY region ORDER BY region";
    assert_eq!(shop.program.sql(minutes).await[0], [json!("DE"), json!(10)]);
    shop.program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_break_wants_to_be_said_and_what_cannot_be_is_refused() {
    let shop = Shop::start();
    shop.order("2026-01-05T10:00:00Z", "fr", 10).await;
    shop.program.settle("orders").await;
    let cases = [
        (
            vec![("sum(total) AS revenue", "sum(total) AS money"), ("revenue", "money")],
            3,
            "no column `revenue` any more",
        ),
        (
            vec![
                ("total  = \"int not null\"", "total  = \"date\""),
                ("total < 1000", "true"),
                ("sum(total)", "count(total)"),
            ],
            3,
            "cannot become",
        ),
        (vec![("upper(region)", "upper(regin)")], 2, "did you mean `region`?"),
    ];
    for (replaced, code, part) in cases {
        write(shop.folder.path(), &with(&replaced));
        let output = mainstem(&["apply", shop.dir()]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "no {part} in {said}");
    }
    assert_eq!(shop.program.value("SELECT sum(revenue) FROM by_minute").await, 10);
    shop.program.stop();
}

const REGIONS: &str = "SELECT region, sum(revenue) FROM by_minute GROUP BY region ORDER BY region";

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_project_before_back_and_keeps_what_came_since() {
    let shop = Shop::start();
    let said = mainstem(&["rollback", "--dir", shop.dir()]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("no project to go back to"), "{said}");
    shop.order("2026-01-05T10:00:00Z", "fr", 10).await;
    shop.apply(&[("upper(region)", "lower(region)"), ("total < 1000", "total < 10")]);
    shop.order("2026-01-05T10:01:00Z", "de", 7).await;
    shop.order("2026-01-05T10:01:00Z", "de", 70).await;
    let counts = shop.program.settle("orders").await;
    assert_eq!((counts.stored, counts.dead), (2, 1));
    let lower = [vec![json!("de"), json!(7)], vec![json!("fr"), json!(10)]];
    assert_eq!(shop.program.sql(REGIONS).await, lower);
    // It says what it does, and does it.
    let plan = printed(&["rollback", "--dir", shop.dir(), "--plan"]);
    assert!(plan.contains("~ table orders_clean"), "{plan}");
    assert!(plan.contains("`mainstem rollback` does it"), "{plan}");
    assert_eq!(shop.program.sql(REGIONS).await, lower);
    let told = printed(&["rollback", "--dir", shop.dir()]);
    assert!(told.contains("~ table orders_clean") && told.contains("applied"), "{told}");
    shop.order("2026-01-05T10:02:00Z", "de", 70).await;
    shop.program.settle("orders").await;
    let upper = [vec![json!("DE"), json!(77)], vec![json!("FR"), json!(10)]];
    assert_eq!(shop.program.sql(REGIONS).await, upper);
    // The folder's text is not applied by a restart until it is edited.
    let Shop { folder, program } = shop;
    program.kill();
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    assert_eq!(program.sql(REGIONS).await, upper);
    program.stop();
    let lower = [("upper(region)", "lower(region)"), ("Spike in", "Surge in")];
    write(folder.path(), &with(&lower));
    let program = Program::start(folder.path(), &folder.path().join(".mainstem"));
    let shop = Shop { folder, program };
    assert_eq!(shop.program.sql(REGIONS).await[0], [json!("de"), json!(77)]);
    // Back once more, and back from that.
    printed(&["rollback", "--dir", shop.dir()]);
    assert_eq!(shop.program.sql(REGIONS).await, upper);
    printed(&["rollback", "--dir", shop.dir()]);
    assert_eq!(shop.program.sql(REGIONS).await[0], [json!("de"), json!(77)]);
    shop.program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_takes_away_what_was_added_only_if_that_is_said() {
    let shop = Shop::start();
    shop.order("2026-01-05T10:00:00Z", "fr", 10).await;
    let by_region = "\n[table.by_region]\nsql = \"SELECT region, count(*) AS orders FROM orders GROUP BY region\"\n\n[alert.spike]";
    shop.apply(&[("\n[alert.spike]", by_region)]);
    assert_eq!(shop.program.value("SELECT sum(orders) FROM by_region").await, 1);
    let said = mainstem(&["rollback", "--dir", shop.dir()]);
    assert_eq!(said.status.code(), Some(3));
    assert_eq!(shop.program.value("SELECT sum(orders) FROM by_region").await, 1);
    printed(&["rollback", "--dir", shop.dir(), "--breaking"]);
    let said = mainstem(&["sql", "--dir", shop.dir(), "SELECT * FROM by_region"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("`by_region` not found"));
    // What was added comes again with all its rows.
    shop.order("2026-01-05T10:01:00Z", "fr", 10).await;
    printed(&["apply", shop.dir()]);
    assert_eq!(shop.program.value("SELECT sum(orders) FROM by_region").await, 2);
    shop.program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_folder_is_offered_and_never_applied_by_itself() {
    let shop = Shop::start();
    assert_eq!(shop.waiting(|_| true).await, Value::Null);
    write(shop.folder.path(), &with(&[("upper(region)", "upper(regin)")]));
    let waiting = shop.waiting(|it| it["has_faults"] == true).await;
    assert!(waiting["help"].as_str().unwrap().contains("mainstem check"), "{waiting}");
    write(shop.folder.path(), &with(&[("upper(region)", "lower(region)")]));
    let waiting = shop.waiting(|it| it["has_faults"] == false).await;
    assert!(waiting["help"].as_str().unwrap().contains("mainstem apply"), "{waiting}");
    shop.order("2026-01-05T10:00:00Z", "fr", 10).await;
    shop.program.settle("orders").await;
    assert_eq!(shop.program.sql(REGIONS).await[0][0], "FR", "nothing is applied");
    printed(&["apply", shop.dir()]);
    assert_eq!(shop.waiting(Value::is_null).await, Value::Null);
    assert_eq!(shop.program.sql(REGIONS).await[0][0], "fr");
    // After going back, the folder is offered again when it is edited; words alone are no change.
    printed(&["rollback", "--dir", shop.dir()]);
    let louder = [("upper(region)", "lower(region)"), ("Spike in", "Surge in")];
    write(shop.folder.path(), &with(&louder));
    shop.waiting(|it| it["has_faults"] == false).await;
    write(shop.folder.path(), &format!("# as it was\n{PROJECT}"));
    shop.waiting(Value::is_null).await;
    let output = shop.program.stop_and_read();
    for part in ["has faults", "did you mean `region`?"] {
        assert!(output.contains(part), "no {part} in {output}");
    }
    assert_eq!(output.matches("was edited; nothing is changed yet").count(), 2, "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_computed_is_stale_alone_and_apply_makes_it_again() {
    let by_region = "\n[table.shares]\nevery = \"1 second\"\nsql = \"SELECT region, 100 / (sum(total) - 30) AS share FROM orders GROUP BY GROUPING SETS ((region), ())\"\n\n[alert.spike]";
    let with_count = by_region.replace("AS share FROM", "AS share, count(*) AS n FROM");
    let shop = Shop::start();
    shop.apply(&[("\n[alert.spike]", by_region)]);
    shop.order("2026-01-05T10:00:00Z", "fr", 7).await;
    let stale = "SELECT stale_since IS NOT NULL AND stale_reason LIKE '%ivide by zero%' FROM system.tables WHERE name = 'shares'";
    let until = async |sql: &str, expected: Value| {
        for _ in 0..100 {
            if shop.program.value(sql).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(shop.program.value(sql).await, expected, "{sql}");
    };
    until("SELECT count(*) FROM shares", json!(2)).await;
    // All orders together come to 30: the total's share cannot be computed.
    shop.order("2026-01-05T10:01:00Z", "de", 23).await;
    until(stale, json!(true)).await;
    assert_eq!(shop.program.value("SELECT sum(revenue) FROM by_minute").await, 30, "others go on");
    assert_eq!(shop.program.value("SELECT count(*) FROM shares").await, 2, "as it was");
    // What cannot be built changes nothing, and it is said why.
    write(shop.folder.path(), &with(&[("\n[alert.spike]", &with_count)]));
    let output = mainstem(&["apply", shop.dir()]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("the project before runs on: cannot build shares"), "{said}");
    assert_eq!(shop.program.value("SELECT count(share) FROM shares").await, 2);
    // The same project again: only what stands still is made anew.
    write(shop.folder.path(), &with(&[("\n[alert.spike]", by_region)]));
    let told = printed(&["plan", shop.dir()]);
    assert!(told.contains("~ table shares  it stands still: "), "{told}");
    assert!(!told.contains("by_minute"), "{told}");
    shop.order("2026-01-05T10:02:00Z", "de", 5).await;
    until(stale, json!(false)).await;
    until("SELECT share FROM shares WHERE region IS NULL", json!(20)).await;
    write(shop.folder.path(), &with(&[("\n[alert.spike]", &with_count)]));
    printed(&["apply", shop.dir()]);
    assert_eq!(shop.program.value("SELECT n FROM shares WHERE region IS NULL").await, 3);
    shop.program.stop();
}

impl Shop {
    /// Waits until what the program says of the folder is as expected.
    async fn waiting(&self, is_expected: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..200 {
            let url = self.program.url("/v1/pipeline");
            let facts: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
            last = facts["waiting"].clone();
            if is_expected(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the program says {last}");
    }
}
