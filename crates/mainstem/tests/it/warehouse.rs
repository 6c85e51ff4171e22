//! What an analyst does with `psql` and Python: copies, tables of their own, prepared statements,
//! cancelling, and the limits of keys.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use tokio_postgres::{Client, Config, Error, NoTls};

use crate::program::{Program, memory_mb, peers};

const PROJECT: &str = r#"
[project.keys.office]
secret = "${OFFICE}"
may    = ["read"]

[project.keys.analyst]
secret = "${ANALYST}"
may    = ["read", "write", "manage"]

[project.keys.small]
secret  = "${SMALL}"
may     = ["read"]
queries = { at_once = 1, time = "5 seconds", memory = "10 MB", rows = 1_000_000, bytes = "100 MB" }

[project.keys.till]
secret  = "${TILL}"
streams = ["orders"]

[bucket.landing]
from = "landing"

[stream.orders]
time = "ts"

[stream.orders.columns]
ts     = "timestamp not null"
region = "text"
total  = "decimal(12,2)"
"#;

const KEYS: [(&str, &str); 4] = [
    ("OFFICE", "office-51c0be77a2d94f36"),
    ("ANALYST", "analyst-7d1f02c4be935a68"),
    ("SMALL", "small-a2d94f3651c0be77"),
    ("TILL", "till-9f27c1d45b6e8a03"),
];

/// Runs until somebody ends it.
const LONG: &str =
    "SELECT count(*) AS n FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b";

struct Fixture {
    program: Program,
    folder: tempfile::TempDir,
}

fn secret(user: &str) -> &'static str {
    let name = user.to_uppercase();
    KEYS.iter().find(|it| it.0 == name).map_or("", |it| it.1)
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mainstem.toml"), PROJECT).unwrap();
        let variables = KEYS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let data = folder.path().join(".mainstem");
        let program = Program::start_in(folder.path(), &data, &[], &variables);
        let fixture = Fixture { program, folder };
        fixture
            .send(
                "{\"ts\":\"2026-01-05T10:00:10Z\",\"region\":\"fr\",\"total\":\"20.10\"}\n\
                 {\"ts\":\"2026-01-05T10:00:20Z\",\"region\":\"fr\",\"total\":\"5\"}\n\
                 {\"ts\":\"2026-01-05T10:00:30Z\",\"region\":\"d\\\"e\",\"total\":null}",
            )
            .await;
        fixture.wait_for("SELECT count(*) FROM orders", "3").await;
        fixture
    }

    async fn send(&self, lines: &str) {
        let client = reqwest::Client::new();
        let request = client.post(self.program.url("/v1/streams/orders/records"));
        let request = request.bearer_auth(secret("till")).body(lines.to_owned());
        let status = request.header("content-type", "application/x-ndjson").send().await.unwrap();
        assert_eq!(status.status(), 200);
    }

    async fn connect(&self, user: &str) -> Result<Client, Error> {
        let (host, port) = self.program.postgres.rsplit_once(':').unwrap();
        let mut config = Config::new();
        config.host(host).port(port.parse().unwrap()).user(user).dbname("mainstem");
        config.password(secret(user));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// What psql prints, with its exit code.
    fn psql(&self, user: &str, arguments: &[&str]) -> (i32, String) {
        let (host, port) = self.program.postgres.rsplit_once(':').unwrap();
        let output = Command::new("psql")
            .args(["-w", "-h", host, "-p", port, "-U", user, "-X", "-A", "-t"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PGPASSWORD", secret(user))
            .env("PGDATABASE", "mainstem")
            .env("PGPASSFILE", "/dev/null")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn ask(&self, user: &str, sql: &str) -> String {
        self.psql(user, &["-c", sql]).1
    }

    async fn wait_for(&self, sql: &str, expected: &str) {
        let mut told = String::new();
        for _ in 0..200 {
            told = self.ask("analyst", sql);
            if told.trim_end() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{sql}\nis\n{told}\nnot\n{expected}");
    }

    fn exists(&self, path: &str) -> bool {
        self.folder.path().join(path).exists()
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    /// Asks over HTTP; returns status, `Retry-After` and the text of the answer.
    async fn http(&self, user: &str, sql: &str) -> (u16, Option<String>, String) {
        let client = reqwest::Client::new();
        let request = client.post(self.program.url("/v1/sql")).bearer_auth(secret(user));
        let answer = request.body(sql.to_owned()).send().await.unwrap();
        let retry = answer.headers().get("retry-after");
        let retry = retry.map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), retry, answer.text().await.unwrap())
    }
}

fn has_psql() -> bool {
    let found = Command::new("psql").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no psql here");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_copied_out() {
    if !has_psql() {
        return;
    }
    let fixture = Fixture::new().await;
    let copy = "\\copy (SELECT region, total, ts FROM orders ORDER BY ts) TO 'out.csv' WITH (FORMAT csv, HEADER)";
    assert_eq!(fixture.psql("office", &["-c", copy]), (0, "COPY 3\n".to_owned()));
    assert_eq!(
        fixture.read("out.csv"),
        "region,total,ts\nfr,20.10,2026-01-05 10:00:10.000000+00\nfr,5.00,2026-01-05 10:00:20.000000+00\n\"d\"\"e\",,2026-01-05 10:00:30.000000+00\n"
    );
    assert_eq!(
        fixture.ask("office", "COPY (SELECT region, total FROM orders ORDER BY ts) TO STDOUT"),
        "fr\t20.10\nfr\t5.00\nd\"e\t\\N\n"
    );
    let told = fixture.ask("office", "COPY (SELECT regin FROM orders) TO STDOUT");
    assert!(told.contains("did you mean `region`?") && told.contains("LINE 1"), "{told}");
    // By the extended protocol, in binary.
    let client = fixture.connect("office").await.unwrap();
    let rows = client.copy_out("COPY (SELECT 7::int AS a, 'x' AS b) TO STDOUT BINARY").await;
    let parts: Vec<bytes::Bytes> = rows.unwrap().try_collect().await.unwrap();
    let whole = parts.concat();
    let expected =
        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x01x\xff\xff";
    assert_eq!(whole, expected);
    // The memory of a long copy is bounded, and it ends when the client goes.
    let before = memory_mb(fixture.program.id());
    let long =
        "COPY (SELECT value, repeat('x', 100) AS text FROM generate_series(1, 3000000)) TO STDOUT";
    let rows = client.copy_out(long).await.unwrap();
    let bytes = rows.map_ok(|it| it.len()).try_fold(0, |sum, it| async move { Ok(sum + it) });
    assert!(300_000_000 < bytes.await.unwrap());
    let after = memory_mb(fixture.program.id());
    assert!(after < before + 200, "{before} MB before, {after} MB after");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_into_buckets_and_nowhere_else() {
    if !has_psql() {
        return;
    }
    let fixture = Fixture::new().await;
    let ask = |sql: &str| fixture.ask("analyst", sql);
    for (sql, expected) in [
        (
            "COPY (SELECT region, total FROM orders ORDER BY ts) TO 'landing/exports/x.csv'",
            "COPY 3\n",
        ),
        ("COPY orders TO 'landing/exports/x.parquet'", "COPY 3\n"),
        (
            "COPY (SELECT region, total FROM orders ORDER BY ts) TO 'landing/x' (FORMAT json)",
            "COPY 3\n",
        ),
    ] {
        assert_eq!(ask(sql), expected, "{sql}");
    }
    assert_eq!(
        fixture.read("landing/exports/x.csv"),
        "region,total\nfr,20.10\nfr,5.00\n\"d\"\"e\",\n"
    );
    assert_eq!(
        fixture.read("landing/x").lines().next(),
        Some("{\"region\":\"fr\",\"total\":20.10}")
    );
    let sum = "SELECT sum(total) FROM landing.\"exports/x.parquet\"";
    assert_eq!(ask(sum), "25.10\n");
    let refused = [
        ("analyst", "COPY orders TO '/tmp/x.csv'", "nothing is written elsewhere"),
        ("analyst", "COPY orders TO 'landing/../x.csv'", "begins with a dot"),
        ("analyst", "COPY orders TO 'file:///tmp/x.csv'", "nothing is written elsewhere"),
        ("analyst", "COPY orders TO 'lnding/x.csv'", "`landing/…`"),
        ("analyst", "COPY orders TO 'landing/x.doc'", "end it in .parquet, .csv or .json"),
        (
            "office",
            "COPY orders TO 'landing/y.csv'",
            "add \"write\" to `may` of [project.keys.office]",
        ),
        ("analyst", "COPY orders TO PROGRAM 'cat > x'", "`COPY` writes to STDOUT or into a bucket"),
        ("analyst", "COPY orders FROM STDIN", "rows come in through streams"),
        ("analyst", "COPY (SELECT 1/0 AS x FROM orders) TO 'landing/y.csv'", "division by zero"),
    ];
    for (user, sql, expected) in refused {
        let (code, told) = fixture.psql(user, &["-c", sql]);
        assert!(code == 1 && told.contains(expected), "{sql}: {told}");
    }
    assert!(!fixture.exists("landing/y.csv") && !fixture.exists("x.csv"));
    let hidden = fixture.folder.path().join("landing/.s3/tmp");
    assert_eq!(std::fs::read_dir(hidden).into_iter().flatten().count(), 0);
}

/// A table above another keeps it from going, and is replaced while it is read.
fn one_above_keeps_it(fixture: &Fixture) {
    let ask = |sql: &str| fixture.ask("analyst", sql);
    let above = "CREATE TABLE big WITH (layer = 'mine') AS SELECT region, orders FROM by_region WHERE orders > 1";
    let told = ask(above);
    assert!(told.contains("CREATE TABLE"), "{told}");
    assert!(fixture.read("tables/big.sql").contains("/*\nlayer = \"mine\"\n*/\n"));
    let told = ask("DROP TABLE by_region");
    assert!(told.contains("something of the project reads it"), "{told}");
    let told = ask("CREATE TABLE IF NOT EXISTS big AS SELECT 1 AS one");
    assert!(told.contains("`big` already exists, and stays as it is"), "{told}");
    let told = ask("CREATE OR REPLACE TABLE big AS SELECT region, orders, revenue FROM by_region");
    assert!(told.contains("CREATE TABLE"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_made_kept_up_to_date_replaced_and_dropped() {
    if !has_psql() {
        return;
    }
    let fixture = Fixture::new().await;
    let ask = |sql: &str| fixture.ask("analyst", sql);
    let create = "CREATE TABLE by_region AS SELECT region, count(*) AS orders, sum(total) AS revenue FROM orders GROUP BY region";
    let told = ask(create);
    assert!(told.contains("CREATE TABLE") && told.contains("in tables/by_region.sql"), "{told}");
    let rows = "SELECT region, orders, revenue FROM by_region ORDER BY region";
    assert_eq!(ask(rows), "d\"e|1|\nfr|2|25.10\n");
    // It is a table of the project like any other: kept up to date, checked, known to `plan`.
    fixture.send("{\"ts\":\"2026-01-05T10:01:10Z\",\"region\":\"fr\",\"total\":\"1\"}").await;
    fixture.wait_for("SELECT orders FROM by_region WHERE region = 'fr'", "3").await;
    let text = fixture.read("tables/by_region.sql");
    assert!(text.starts_with("-- made in SQL by analyst; sum "), "{text}");
    assert!(text.contains("SELECT region, count(*) AS orders"), "{text}");

    let refused = [
        ("analyst", create, "`by_region` already exists"),
        ("analyst", "CREATE TABLE orders AS SELECT 1 AS one", "`orders` already exists"),
        (
            "analyst",
            "CREATE OR REPLACE TABLE orders AS SELECT 1 AS one",
            "the project's files declare it",
        ),
        ("analyst", "CREATE TABLE t AS SELECT regin FROM orders", "did you mean `region`?"),
        ("analyst", "CREATE TABLE t AS SELECT count(*) FROM orders", "needs a plain name"),
        ("analyst", "CREATE TABLE t AS SELECT region FROM nothing", "nothing"),
        ("analyst", "CREATE TABLE t (a int)", "a table is made of a SELECT"),
        ("analyst", "CREATE TABLE t WITH (kep = '1 day') AS SELECT region FROM orders", "kep"),
        (
            "analyst",
            "CREATE TEMP TABLE t AS SELECT region FROM orders",
            "there are no temporary tables",
        ),
        (
            "office",
            "CREATE TABLE t AS SELECT region FROM orders",
            "add \"manage\" to `may` of [project.keys.office]",
        ),
        ("office", "DROP TABLE by_region", "may not change the project"),
        ("analyst", "DROP TABLE orders", "was not made by CREATE TABLE"),
        ("analyst", "DROP TABLE nothing", "table `nothing` not found"),
    ];
    for (user, sql, expected) in refused {
        let (code, told) = fixture.psql(user, &["-c", sql]);
        assert!(code == 1 && told.contains(expected), "{sql}: {told}");
    }
    assert!(!fixture.exists("tables/t.sql"));
    let place = ask("CREATE TABLE t AS SELECT regin FROM orders");
    assert!(place.contains("LINE 1: CREATE TABLE t AS SELECT regin FROM orders"), "{place}");

    one_above_keeps_it(&fixture);
    fixture.wait_for("SELECT count(revenue) FROM big", "1").await;
    // The folder and what runs are one; a restart runs the same.
    let checked = mainstem_of(&["check", fixture.folder.path().to_str().unwrap()]);
    assert!(!checked.contains("fault"), "{checked}");

    // What somebody edited is not taken away.
    let path = fixture.folder.path().join("tables/big.sql");
    let edited =
        fixture.read("tables/big.sql").replace("region, orders, revenue", "region, revenue");
    std::fs::write(&path, &edited).unwrap();
    let told = ask("DROP TABLE big");
    assert!(told.contains("was edited, and what it says does not run"), "{told}");
    let told = ask("CREATE TABLE other AS SELECT region FROM orders");
    assert!(told.contains("was edited"), "{told}");
    std::fs::write(&path, edited.replace("region, revenue", "region, orders, revenue")).unwrap();
    let told = ask("DROP TABLE big; DROP TABLE IF EXISTS by_region, nothing");
    assert!(told.contains("`nothing` does not exist"), "{told}");
    assert!(!fixture.exists("tables/big.sql") && !fixture.exists("tables/by_region.sql"));
    let told = ask("SELECT 1 FROM by_region");
    assert!(told.contains("table `by_region` not found"), "{told}");
}

fn mainstem_of(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_mainstem")).args(arguments).envs(KEYS).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_outlives_a_restart() {
    if !has_psql() {
        return;
    }
    let fixture = Fixture::new().await;
    let told = fixture.ask("analyst", "CREATE TABLE regions AS SELECT DISTINCT region FROM orders");
    assert!(told.contains("CREATE TABLE"), "{told}");
    let Fixture { program, folder } = fixture;
    program.stop();
    let variables = KEYS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let data = folder.path().join(".mainstem");
    let program = Program::start_in(folder.path(), &data, &[], &variables);
    let fixture = Fixture { program, folder };
    fixture.wait_for("SELECT count(*) FROM regions", "2").await;
    // Where the program may not write, nothing is made.
    let (tables, away) = (fixture.folder.path().join("tables"), fixture.folder.path().join("away"));
    let told = fixture.ask("analyst", "DROP TABLE regions");
    assert!(told.contains("DROP TABLE"), "{told}");
    std::fs::remove_dir(&tables).unwrap();
    std::os::unix::fs::symlink(&away, &tables).unwrap();
    let told = fixture.ask("analyst", "CREATE TABLE t AS SELECT region FROM orders");
    assert!(told.contains("the project's folder cannot be written"), "{told}");
    assert!(fixture.ask("analyst", "SELECT 1 FROM t").contains("table `t` not found"));
    assert!(!away.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_prepared_as_sql() {
    let fixture = Fixture::new().await;
    let client = fixture.connect("office").await.unwrap();
    client
        .batch_execute(
            "PREPARE q (text, numeric) AS SELECT region, total FROM orders WHERE region = $1 AND total > $2",
        )
        .await
        .unwrap();
    for (sql, rows) in [
        ("EXECUTE q('fr', 1)", 2),
        ("EXECUTE q('fr', '10.5')", 1),
        ("EXECUTE q('it''s; DROP', 1)", 0),
    ] {
        let found = client.simple_query(sql).await.unwrap();
        let is_row = |it: &&tokio_postgres::SimpleQueryMessage| {
            matches!(it, tokio_postgres::SimpleQueryMessage::Row(_))
        };
        assert_eq!(found.iter().filter(is_row).count(), rows, "{sql}");
    }
    assert_eq!(client.query("EXECUTE q('fr', 1)", &[]).await.unwrap().len(), 2);
    for (sql, code) in [
        ("EXECUTE q('fr')", "42601"),
        ("EXECUTE q('fr', 1, 2)", "42601"),
        ("EXECUTE nothing(1)", "26000"),
        ("PREPARE q AS SELECT 1", "42P05"),
        ("PREPARE w AS DELETE FROM orders", "25006"),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), code, "{sql}: {error}");
    }
    client.batch_execute("DEALLOCATE q").await.unwrap();
    let error = client.simple_query("EXECUTE q('fr', 1)").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "26000");
}

/// Asks until a statement of the key that may run one at a time is let in; returns how long it took.
async fn until_free(fixture: &Fixture) -> Duration {
    let began = Instant::now();
    loop {
        let (status, _, text) = fixture.http("small", "SELECT 1 AS one").await;
        if status == 200 {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_with_its_client() {
    let fixture = Fixture::new().await;
    // PostgreSQL: the connection is gone. The time of the key would end it after five seconds.
    let (host, port) = fixture.program.postgres.rsplit_once(':').unwrap();
    let script = format!("psql -X -w -h {host} -p {port} -U small mainstem -c '{LONG}'");
    let mut child = Command::new("bash")
        .args(["-c", &format!("exec {script}")])
        .env("PGPASSWORD", secret("small"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let (status, retry, text) = fixture.http("small", "SELECT 1 AS one").await;
    if status == 429 {
        assert!(retry.is_some() && text.contains("may run 1 statement at a time"), "{text}");
        child.kill().unwrap();
        let took = until_free(&fixture).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    child.kill().unwrap_or_default();
    child.wait().unwrap();
    until_free(&fixture).await;
    // HTTP: the client goes.
    let client = reqwest::Client::new();
    let url = fixture.program.url("/v1/sql");
    let asking = tokio::spawn(async move {
        client.post(url).bearer_auth(secret("small")).body(LONG).send().await.map(|it| it.status())
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    asking.abort();
    let took = until_free(&fixture).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_what_runs_and_nothing_after_it() {
    let fixture = Fixture::new().await;
    let client = fixture.connect("office").await.unwrap();
    let token = client.cancel_token();
    // Nothing runs: a cancel is for nothing.
    token.cancel_query(NoTls).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.simple_query("SELECT 1 AS one").await.unwrap();
    client.query("SELECT 1 AS one", &[]).await.unwrap();
    for _ in 0..3 {
        let (began, cancelling) = (Instant::now(), token.clone());
        let cancel = async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cancelling.cancel_query(NoTls).await.unwrap();
        };
        let (error, ()) = tokio::join!(client.query(LONG, &[]), cancel);
        let error = error.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57014", "{error}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        client.query("SELECT 1 AS one", &[]).await.unwrap();
    }
    client.batch_execute("SET statement_timeout = '200ms'").await.unwrap();
    let error = client.query(LONG, &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_keeps_to_its_limits_and_holds_up_nobody() {
    let fixture = Fixture::new().await;
    assert!(fixture.connect("till").await.is_err(), "a key of some streams asks nothing");
    let client = fixture.connect("small").await.unwrap();
    let code = async |sql: &str| {
        let error = client.query(sql, &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        (error.code().code().to_owned(), error.message().to_owned())
    };
    let (state, told) = code("SELECT count(*) AS n FROM generate_series(1, 2000000)").await;
    assert_eq!((state.as_str(), told.contains("may read 1000000 rows")), ("53400", true), "{told}");
    let big = "SELECT count(*) AS n FROM generate_series(1, 900000) a JOIN (SELECT value, repeat('x', 200) AS t FROM generate_series(1, 90000)) b ON a.value = b.value AND b.t <> ''";
    let (state, told) = code(big).await;
    assert_eq!(state, "53200", "{told}");
    let (status, retry, text) = fixture.http("small", big).await;
    assert_eq!((status, retry.as_deref()), (429, Some("1")), "{text}");
    let (status, _, text) =
        fixture.http("small", "SELECT count(*) AS n FROM generate_series(1, 2000000)").await;
    assert_eq!((status, text.contains("may read 1000000 rows")), (400, true), "{text}");
    client.query("SELECT 1 AS one", &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heavy_question_of_a_key_holds_up_no_other() {
    let fixture = Fixture::new().await;
    let (heavy, light) =
        (fixture.connect("office").await.unwrap(), fixture.connect("analyst").await.unwrap());
    let cancel = heavy.cancel_token();
    let asking = tokio::spawn(async move { heavy.query(LONG, &[]).await.map(|it| it.len()) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..5 {
        let began = Instant::now();
        light.query("SELECT region, count(*) AS n FROM orders GROUP BY region", &[]).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "answered: {:?}", began.elapsed());
        let began = Instant::now();
        fixture.send("{\"ts\":\"2026-01-05T10:00:40Z\",\"region\":\"fr\",\"total\":\"1\"}").await;
        assert!(began.elapsed() < Duration::from_secs(2), "acknowledged: {:?}", began.elapsed());
    }
    assert!(!asking.is_finished(), "the heavy question runs all the while");
    let began = Instant::now();
    cancel.cancel_query(NoTls).await.unwrap();
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014", "{error}");
    assert!(began.elapsed() < Duration::from_secs(2), "cancelled: {:?}", began.elapsed());
}

const PYTHON: &str = r#"
import datetime, decimal, os, sys, threading, time, uuid
import psycopg
address = sys.argv[1]
with psycopg.connect(address, autocommit=True) as db:
    # Parameters of all types, as text and binary, with answers of both.
    values = [
        (1, "int8"), (-2, "int2"), (3, "int4"), (1.5, "float8"), (0.5, "float4"), (True, "bool"), ("grün", "text"),
        (decimal.Decimal("12.34"), "numeric(10,2)"), (datetime.date(2026, 1, 5), "date"),
        (datetime.datetime(2026, 1, 5, 10, 0, 10, 5), "timestamp"),
        (datetime.datetime(2026, 1, 5, 10, 0, 10, tzinfo=datetime.timezone.utc), "timestamptz"),
        (b"\x00\xff", "bytea"), (None, "int8"),
    ]
    wrong = []
    for value, kind in values:
        for placeholder in ["%s", "%b", "%t"]:
            for binary in [False, True]:
                try:
                    row = db.cursor(binary=binary).execute(f"SELECT {placeholder}::{kind} AS v", [value], prepare=True).fetchone()
                    if row[0] != value:
                        wrong.append((value, kind, placeholder, binary, row[0]))
                except psycopg.Error as error:
                    wrong.append((value, kind, placeholder, binary, str(error)))
    print("wrong:", wrong)
    # A cancel from another thread.
    def cancel():
        time.sleep(0.5)
        db.cancel()
    threading.Thread(target=cancel).start()
    began = time.time()
    try:
        db.execute("SELECT count(*) AS n FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b")
    except psycopg.errors.QueryCanceled:
        print("cancelled:", time.time() - began < 3)
    # Copies.
    with db.cursor().copy("COPY (SELECT region, total FROM orders ORDER BY ts) TO STDOUT") as copy:
        print("rows:", list(copy.rows()))
    with db.cursor().copy("COPY (SELECT total, ts FROM orders WHERE total > 10) TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["numeric", "timestamptz"])
        print("binary:", [(str(a), b.isoformat()) for a, b in copy.rows()])
    print("after:", db.execute("SELECT count(*) FROM orders").fetchone())
"#;

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_prepares_cancels_and_copies() {
    let Some(python) = peers("psycopg") else { return };
    let fixture = Fixture::new().await;
    let script = fixture.folder.path().join("ask.py");
    std::fs::write(&script, PYTHON).unwrap();
    let (user, password) = ("office", secret("office"));
    let address = format!("postgres://{user}:{password}@{}/mainstem", fixture.program.postgres);
    let output = Command::new(python).arg(script).arg(address).output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let expected = "wrong: []\n\
                    cancelled: True\n\
                    rows: [('fr', '20.10'), ('fr', '5.00'), ('d\"e', None)]\n\
                    binary: [('20.10', '2026-01-05T10:00:10+00:00')]\n\
                    after: (3,)\n";
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_analyst_types_is_answered() {
    if !has_psql() {
        return;
    }
    let fixture = Fixture::new().await;
    let ask = |sql: &str| fixture.psql("office", &["-c", sql]);
    let (code, told) = ask("SHOW TABLES");
    assert!(
        code == 0 && told.contains("|public|orders|") && !told.contains("pg_catalog"),
        "{told}"
    );
    assert!(!told.contains("information_schema"), "{told}");
    assert_eq!(ask("SHOW TABLES LIKE 'orders'").1, "mainstem|public|orders|BASE TABLE\n");
    let distinct = "SELECT count(*) FROM orders WHERE region IS DISTINCT FROM 'fr' OR total IS NOT DISTINCT FROM 5 AND region = 'fr'";
    assert_eq!(ask(distinct), (0, "2\n".to_owned()));
    for (sql, expected) in [
        ("\\d orders", "total|numeric"),
        ("\\dt", "public|orders|table"),
        ("\\dn", "public"),
        ("\\l", "mainstem"),
        ("EXPLAIN SELECT region FROM orders", "logical_plan"),
        ("EXPLAIN ANALYZE SELECT count(*) AS n FROM orders", "output_rows"),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
            "orders",
        ),
        ("SELECT region, total FROM orders ORDER BY total DESC NULLS LAST LIMIT 1", "fr|20.10"),
        ("SELECT count(*) FILTER (WHERE total > 10) FROM orders", "1"),
        ("SELECT region ILIKE 'F%' FROM orders WHERE total = 5", "t"),
    ] {
        let (code, told) = ask(sql);
        assert!(code == 0 && told.contains(expected), "{sql}: {told}");
    }
}
