//! Tables with a schedule and checks, in the real program: killed, failing, too expensive.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, is_slow_welcome, mainstem, number};

const STREAM: &str = r#"
[project]
name  = "batch"
flush = "200 ms"

[stream.orders]
[stream.orders.columns]
id    = "int not null"
total = "int not null"
"#;

fn write(project: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(project).unwrap();
    std::fs::write(project.join("mainstem.toml"), STREAM).unwrap();
    for (name, text) in files {
        std::fs::write(project.join(name), text).unwrap();
    }
}

async fn send(program: &Program, ids: std::ops::Range<u64>, total: i64) {
    let line = |id: u64| format!("{{\"id\":{id},\"total\":{total}}}\n");
    let lines: String = ids.clone().map(line).collect();
    let key = format!("{}-{}", ids.start, ids.end);
    let (status, body) = program.send("orders", lines, Some(&key)).await.unwrap();
    assert_eq!(status, 200, "{body}");
}

/// Waits until SQL answers so.
async fn wait(
    program: &Program,
    sql: &str,
    is_so: impl Fn(&[Vec<Value>]) -> bool,
) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for _ in 0..300 {
        rows = program.sql(sql).await;
        if is_so(&rows) {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let runs = program.sql("SELECT * FROM system.runs ORDER BY due DESC LIMIT 20").await;
    panic!("{sql}\nanswers {rows:?}\nruns {runs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_moment_of_a_schedule_has_one_run_whatever_is_killed() {
    let seed = number("SEED", 20_260_105);
    let kills = number("KILLS", if is_slow_welcome() { 20 } else { 5 });
    eprintln!("SEED={seed} KILLS={kills}");
    let folder = tempfile::tempdir().unwrap();
    let (project, data) = (folder.path().join("project"), folder.path().join("data"));
    let adds = "/*\ncron = '* * * * * *'\nmissed = 'catch up'\nreads = 'new'\n*/\n\
                SELECT now() AS at, count(*) AS n, coalesce(sum(id), 0) AS ids FROM orders";
    let behind = "/*\nafter = 'adds'\n*/\nSELECT count(*) AS runs, sum(n) AS n FROM adds";
    write(&project, &[("adds.sql", adds), ("behind.sql", behind)]);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent = 0;
    let mut program = Program::start(&project, &data);
    for _ in 0..kills {
        for _ in 0..random.u32(1..6) {
            let more = random.u64(1..50);
            send(&program, sent..sent + more, 1).await;
            sent += more;
            tokio::time::sleep(Duration::from_millis(random.u64(0..600))).await;
        }
        program.kill();
        tokio::time::sleep(Duration::from_millis(random.u64(0..3_000))).await;
        program = Program::start(&project, &data);
        assert_once(&program).await;
    }
    let all = "SELECT coalesce(sum(n), 0), coalesce(sum(ids), 0) FROM adds";
    let ids = sent * (sent - 1) / 2;
    wait(&program, all, |rows| rows[0] == [Value::from(sent), Value::from(ids)]).await;
    assert_once(&program).await;
    wait(&program, "SELECT n FROM behind", |rows| rows == [[Value::from(sent)]]).await;
    program.stop();
    let program = Program::start(&project, &data);
    assert_eq!(program.sql(all).await[0], [Value::from(sent), Value::from(ids)], "stored");
    assert_once(&program).await;
    program.stop();
}

/// No moment is missing between the first and the last, and none is there twice.
async fn assert_once(program: &Program) {
    let sql = "SELECT count(*), count(DISTINCT at), \
        coalesce(CAST(extract(epoch FROM max(at)) - extract(epoch FROM min(at)) AS BIGINT) + 1, 0) \
        FROM adds";
    let row = program.sql(sql).await.remove(0);
    assert!(row[0] == row[1] && row[1] == row[2], "runs, moments, seconds: {row:?}");
    let twice = "SELECT due, count(*) FROM system.runs WHERE table_name = 'adds' \
        GROUP BY due HAVING count(*) > 1";
    assert_eq!(program.sql(twice).await, Vec::<Vec<Value>>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_an_alert_until_one_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let (project, data) = (folder.path().join("project"), folder.path().join("data"));
    let share = "/*\ncron = '* * * * * *'\nretries = 1\nretry_after = '100 ms'\n*/\n\
                 SELECT 100 / sum(total) AS share FROM orders HAVING count(*) > 0";
    let alert = "[alert.load_failed]\n\
        sql = \"SELECT table_name, error FROM system.runs WHERE newest AND state = 'failed'\"\n\
        key = ['table_name']\ntitle = 'Load of {table_name} failed'\nnotify = ['log']\n\
        [notify.log]\nlog = true\n";
    write(&project, &[("share.sql", share), ("alert.toml", alert)]);
    let program = Program::start(&project, &data);
    send(&program, 0..1, 5).await;
    send(&program, 1..2, -5).await;
    let alerts = "SELECT title, state FROM system.alerts WHERE alert = 'load_failed'";
    let fires = |rows: &[Vec<Value>]| rows == [["Load of share failed", "firing"].map(Value::from)];
    wait(&program, alerts, fires).await;
    let runs = "SELECT max(attempt) FROM system.runs WHERE state = 'failed'";
    assert_eq!(program.count(runs).await, 2, "it was tried again first");
    let stale = "SELECT name FROM system.tables WHERE stale_since IS NOT NULL";
    assert_eq!(program.sql(stale).await, [["share"].map(Value::from)]);
    program.kill();
    let program = Program::start(&project, &data);
    wait(&program, alerts, fires).await;
    let since =
        "SELECT count(*) FROM system.notices WHERE alert = 'load_failed' AND about = 'firing'";
    assert!(program.count(since).await <= 1, "what fired before does not fire anew");
    send(&program, 2..3, 50).await;
    wait(&program, "SELECT share FROM share", |rows| rows == [[Value::from(2)]]).await;
    wait(&program, alerts, |rows| rows.iter().all(|it| it[1] != "firing")).await;
    assert_eq!(program.sql(stale).await, Vec::<Vec<Value>>::new());
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_what_it_will_read_and_does_not_begin_if_that_is_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let (project, data) = (folder.path().join("project"), folder.path().join("data"));
    let dear = "/*\ncron = '* * * * * *'\nretries = 0\nread_max = '1 KB'\n*/\nSELECT sum(total) AS n FROM orders";
    let cheap = "/*\ncron = '* * * * * *'\nread_max = '1 MB'\n*/\nSELECT sum(id) AS n FROM orders";
    write(&project, &[("dear.sql", dear), ("cheap.sql", cheap)]);
    let program = Program::start(&project, &data);
    send(&program, 0..20_000, 1).await;
    program.settle("orders").await;
    let failed = "SELECT error, bytes_estimated, bytes_read, rows_out FROM system.runs \
        WHERE table_name = 'dear' AND state = 'failed' ORDER BY run DESC LIMIT 1";
    let row = wait(&program, failed, |rows| !rows.is_empty()).await.remove(0);
    let error = row[0].as_str().unwrap();
    assert!(error.contains("more than its `read_max` of 1 kB"), "{error}");
    assert!(1_024 < row[1].as_u64().unwrap() && row[2] == 0 && row[3].is_null(), "{row:?}");
    let done = "SELECT rows_in, bytes_estimated, bytes_read, rows_out FROM system.runs \
        WHERE table_name = 'cheap' AND state = 'done' AND bytes_read > 0 ORDER BY run DESC LIMIT 1";
    let row = wait(&program, done, |rows| !rows.is_empty()).await.remove(0);
    let of = |index: usize| row[index].as_u64().unwrap();
    assert_eq!((of(0), of(3)), (20_000, 1));
    assert!(of(2) <= of(1), "it read no more than was said: {row:?}");
    let schedules = "SELECT table_name, starts, bytes_estimated > 0, next IS NOT NULL \
        FROM system.schedules ORDER BY table_name";
    let schedules = program.sql(schedules).await;
    assert_eq!(schedules[0][..2], ["cheap", "cron * * * * * *"].map(Value::from));
    assert_eq!(schedules[1][2..], [Value::from(true), Value::from(true)]);
    program.stop();
}

#[test]
fn a_test_fails_with_a_check_that_stops_what_is_behind_unless_it_expects_so() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let clean = "/*\nchecks.one_row = { unique = 'id', severity = 'fail' }\n\
        checks.small = 'total < 10'\n*/\nSELECT id, total FROM orders";
    let given = "given.orders = '''\n{\"id\":1,\"total\":5}\n{\"id\":1,\"total\":50}\n'''\n";
    let surprised =
        format!("[test.surprised]\n{given}expect.clean = '''\n{{\"id\":1}}\n{{\"id\":1}}\n'''\n");
    let expects = format!(
        "[test.expects]\n{given}expect.\"system.checks\" = '''\n\
         {{\"check\":\"one_row\",\"state\":\"failing\",\"wrong\":1}}\n\
         {{\"check\":\"small\",\"state\":\"failing\",\"wrong\":1}}\n'''\n"
    );
    write(&project, &[("clean.sql", clean), ("tests.toml", &format!("{surprised}{expects}"))]);
    let folder = project.to_str().unwrap();
    let output = mainstem(&["test", folder]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("pass  expects"), "{text}");
    assert!(text.contains("FAIL  surprised"), "{text}");
    assert!(text.contains("check `one_row` of `clean` fails: 1 is wrong (unique id)"), "{text}");
    let checked = mainstem(&["check", folder]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "", "nothing to warn of");
}
