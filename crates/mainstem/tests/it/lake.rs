//! Tables at rest as their users meet them: earlier versions, snapshots, going back, small files; and
//! all of it while the program is killed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Program, is_slow_welcome, mainstem, number, peers};

const PROJECT: &str = r#"
[project]
name   = "rest"
flush  = "50 ms"
upkeep = { every = "100 ms", budget = "1 second" }

[stream.events]
time    = "ts"
key     = "id"
history = "1 hour"
cluster = "client"

[stream.events.columns]
id     = "text not null"
ts     = "timestamp not null"
client = "int not null"

[table.big]
cluster   = ["client", "id"]
snapshots = { every = "1 second", keep = 2 }
sql       = "SELECT id, ts, client FROM events WHERE client > 0"

[table.totals]
publish = "1 second"
sql     = "SELECT client, count(*) AS events FROM events GROUP BY client"
"#;

fn write_project(folder: &Path) -> std::path::PathBuf {
    let project = folder.join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("mainstem.toml"), PROJECT).unwrap();
    project
}

fn lines(ids: std::ops::Range<u64>) -> String {
    let line = |it: u64| {
        let record = json!({"id": it.to_string(), "ts": "2026-01-05T10:00:00Z", "client": it % 7});
        format!("{record}\n")
    };
    ids.map(line).collect()
}

/// Waits until a question answers a number that is good.
async fn wait_for(program: &Program, sql: &str, is_good: impl Fn(u64) -> bool) -> u64 {
    let mut last = 0;
    for _ in 0..300 {
        last = program.count(sql).await;
        if is_good(last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{sql} stays {last}");
}

async fn newest(program: &Program, table: &str) -> u64 {
    let sql = format!("SELECT max(version) FROM system.versions WHERE name = '{table}'");
    program.count(&sql).await
}

/// Sends some records and waits until they are stored.
async fn store(program: &Program, ids: std::ops::Range<u64>) {
    let to = ids.end;
    let (status, body) = program.send("events", lines(ids), None).await.unwrap();
    assert_eq!(status, 200, "{body}");
    program.settle("events").await;
    // `rows` of the newest version are those that are stored.
    let sql =
        "SELECT rows FROM system.versions WHERE name = 'events' ORDER BY version DESC LIMIT 1";
    wait_for(program, sql, |it| it == to).await;
}

async fn refusal(program: &Program, sql: &str) -> String {
    let client = reqwest::Client::new();
    let answer = client.post(program.url("/v1/sql")).body(sql.to_owned()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400, "{sql}");
    let body: Value = answer.json().await.unwrap();
    format!("{}; {}", body["error"]["message"], body["error"]["help"])
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_versions_are_asked_for_and_gone_back_to() {
    let folder = tempfile::tempdir().unwrap();
    let project = write_project(folder.path());
    let data = folder.path().join("data");
    let program = Program::start(&project, &data);
    store(&program, 0..100).await;
    let first = newest(&program, "events").await;
    let made =
        format!("SELECT made FROM system.versions WHERE name = 'events' AND version = {first}");
    let made = program.value(&made).await;
    let made = made.as_str().unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    store(&program, 100..150).await;

    let count = |as_of: String| format!("SELECT count(*) FROM events {as_of}");
    assert_eq!(program.count(&count(format!("VERSION AS OF {first}"))).await, 100);
    assert_eq!(program.count(&count(format!("FOR SYSTEM_TIME AS OF '{made}'"))).await, 100);
    assert_eq!(program.count(&count("FOR SYSTEM_TIME AS OF now()".to_owned())).await, 150);
    let came = format!(
        "SELECT count(*) FROM events e LEFT JOIN events VERSION AS OF {first} b ON b.id = e.id \
         WHERE b.id IS NULL"
    );
    assert_eq!(program.count(&came).await, 50);
    let told = refusal(&program, &count("VERSION AS OF 100000".to_owned())).await;
    assert!(told.contains("is not written yet: the newest is"), "{told}");
    let told = refusal(&program, &count("FOR SYSTEM_TIME AS OF '2020-01-01'".to_owned())).await;
    assert!(told.contains("the oldest version that can be asked for is 0, of "), "{told}");
    assert!(told.contains("history"), "{told}");
    let told = refusal(&program, "SELECT * FROM system.streams VERSION AS OF 1").await;
    assert!(told.contains("no earlier versions"), "{told}");

    // What was received is not taken out; what is made of it goes back and forth.
    let here = ["--data", data.to_str().unwrap(), "--dir", project.to_str().unwrap()];
    let restore = |table: &str, version: u64| {
        let version = version.to_string();
        let mut arguments = vec!["restore", table, "--version", &version];
        arguments.extend(here);
        let output = mainstem(&arguments);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), text)
    };
    let (done, told) = restore("events", first);
    assert!(!done && told.contains("nothing received is taken out"), "{told}");
    let (done, told) = restore("totals", 0);
    assert!(!done && told.contains("made anew"), "{told}");
    let stored = "SELECT version FROM system.versions WHERE name = 'big' AND rows BETWEEN 1 AND 86 \
                  ORDER BY version LIMIT 1";
    let version = program.count(stored).await;
    let before = newest(&program, "big").await;
    let (done, told) = restore("big", version);
    assert!(done, "{told}");
    let rows = program.count(&format!("SELECT count(*) FROM big VERSION AS OF {version}")).await;
    assert_eq!(program.count("SELECT count(*) FROM big").await, rows);
    let operation =
        "SELECT operation FROM system.versions WHERE name = 'big' AND operation = 'RESTORE'";
    assert_eq!(program.value(operation).await, json!("RESTORE"));
    let (done, told) = restore("big", before);
    assert!(done, "{told}");
    assert_eq!(program.count("SELECT count(*) FROM big").await, 128);
    // It goes on from there, and after a start without a program too.
    store(&program, 150..157).await;
    assert_eq!(program.count("SELECT count(*) FROM big").await, 134);
    program.stop();
    let mut arguments = vec!["sql", "--format", "csv"];
    let sql = format!("SELECT count(*) AS n FROM events VERSION AS OF {first}");
    arguments.push(&sql);
    arguments.extend(here);
    let output = mainstem(&arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n100\n", "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_few_and_snapshots_stand_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let project = write_project(folder.path());
    let data = folder.path().join("data");
    let program = Program::start(&project, &data);
    for from in (0..600).step_by(20) {
        store(&program, from..from + 20).await;
    }
    let files = "SELECT files FROM system.tables WHERE name = 'big'";
    wait_for(&program, files, |it| it < 10).await;
    let small = "SELECT files FROM system.file_sizes WHERE name = 'big' AND bytes_from = 0";
    assert!(program.count(small).await < 10);
    let merged =
        "SELECT count(*) FROM system.versions WHERE name = 'big' AND operation = 'OPTIMIZE'";
    assert!(0 < program.count(merged).await);
    wait_for(&program, "SELECT count(*) FROM system.snapshots WHERE name = 'big'", |it| it == 2)
        .await;
    let snapshot = "SELECT max(version) FROM system.snapshots WHERE name = 'big'";
    let version = program.count(snapshot).await;
    let rows =
        format!("SELECT rows FROM system.snapshots WHERE name = 'big' AND version = {version}");
    let rows = program.count(&rows).await;
    let then = format!("SELECT count(*) FROM big VERSION AS OF {version}");
    assert_eq!(program.count(&then).await, rows);
    program.stop();

    // Another program reads the same rows, also those of then.
    let Some(python) = peers("deltalake") else { return };
    let table = data.join("lake/big");
    let script = "import sys, deltalake; \
                  print(len(deltalake.DeltaTable(sys.argv[1]).to_pyarrow_table()), \
                  len(deltalake.DeltaTable(sys.argv[1], version=int(sys.argv[2])).to_pyarrow_table()))";
    let output = Command::new(python)
        .args(["-c", script, table.to_str().unwrap(), &version.to_string()])
        .output()
        .unwrap();
    let read = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(read, format!("514 {rows}"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_files_are_merged_each_row_is_there_once() {
    let kills = number("KILLS", if is_slow_welcome() { 20 } else { 5 });
    let seed = number("SEED", 20_260_105);
    eprintln!("SEED={seed} KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let project = write_project(folder.path());
    let data = folder.path().join("data");
    let mut sent = 0;
    for _ in 0..kills {
        let program = Program::start(&project, &data);
        for _ in 0..random.u64(5..25) {
            let (status, body) = program.send("events", lines(sent..sent + 8), None).await.unwrap();
            assert_eq!(status, 200, "{body}");
            sent += 8;
            tokio::time::sleep(Duration::from_millis(random.u64(20..90))).await;
        }
        if random.bool() {
            let version = newest(&program, "big").await;
            let restore = json!({"table": "big", "version": version});
            let client = reqwest::Client::new();
            drop(client.post(program.url("/v1/restore")).json(&restore).send().await);
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        program.kill();
    }
    let program = Program::start(&project, &data);
    let count = program.settle("events").await;
    assert_eq!((count.received, count.stored), (sent, sent));
    let once = "SELECT count(*) FROM (SELECT id FROM events GROUP BY id HAVING count(*) = 1) o";
    assert_eq!(program.count(once).await, sent);
    let events = "SELECT sum(events) FROM totals";
    assert_eq!(program.count(events).await, sent);
    let doubled = "SELECT count(*) FROM (SELECT id FROM big GROUP BY id HAVING count(*) > 1) o";
    assert_eq!(program.count(doubled).await, 0);
    let merged =
        "SELECT count(*) FROM system.versions WHERE name = 'events' AND operation = 'OPTIMIZE'";
    assert!(0 < program.count(merged).await, "files were merged in between");
    program.stop();
}
