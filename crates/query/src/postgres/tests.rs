use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{Users, Verifier, serve};
use crate::sample;

const PASSWORD: &str = "correct horse";

struct Running {
    port: u16,
    stop: watch::Sender<bool>,
}

async fn start() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let verifier = Verifier::of(PASSWORD).unwrap();
    let users: Arc<dyn Users> = Arc::new(BTreeMap::from([("mainstem".to_owned(), verifier)]));
    let (stop, stopped) = watch::channel(false);
    let serving = serve(listener, Arc::new(sample::engine()), users, stopped);
    drop(base::task::spawn("postgres door", async move { serving.await.unwrap() }));
    Running { port, stop }
}

async fn connect_as(
    port: u16,
    user: &str,
    password: &str,
) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname("shop");
    let (client, connection) = config.connect(NoTls).await?;
    drop(base::task::spawn("client", async move { drop(connection.await) }));
    Ok(client)
}

async fn connect(running: &Running) -> Client {
    connect_as(running.port, "mainstem", PASSWORD).await.unwrap()
}

fn code(error: &tokio_postgres::Error) -> &SqlState {
    error.code().unwrap_or(&SqlState::SUCCESSFUL_COMPLETION)
}

#[tokio::test]
async fn who_has_no_password_stays_outside() {
    let running = start().await;
    for (user, password) in [
        ("mainstem", "wrong"),
        ("mainstem", ""),
        ("mainstem", "correct hors"),
        ("postgres", PASSWORD),
        ("postgres", ""),
        ("", PASSWORD),
        ("MAINSTEM", PASSWORD),
    ] {
        let error = connect_as(running.port, user, password).await.err();
        let error = error.unwrap_or_else(|| panic!("`{user}` with `{password}` came in"));
        if let Some(code) = error.code() {
            assert_eq!(*code, SqlState::INVALID_PASSWORD, "{user}: {error}");
        }
    }
    assert!(connect_as(running.port, "mainstem", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_statement_before_the_login_is_not_answered() {
    let running = start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", running.port)).await.unwrap();
    let start = b"\0\0\0\x17\0\x03\0\0user\0mainstem\0\0";
    stream.write_all(&[0, 0, 0, u8::try_from(start.len()).unwrap()]).await.unwrap();
    stream.write_all(&start[4..]).await.unwrap();
    stream.write_all(b"Q\0\0\0\x0dSELECT 1\0").await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("28P01") && !answer.contains('D'), "{answer}");
}

#[tokio::test]
async fn parameters_of_all_kinds_are_taken() {
    let running = start().await;
    let client = connect(&running).await;
    let row = client
        .query_one(
            "SELECT order_id, quantity, ts, is_gift, region FROM orders WHERE quantity = $1 AND is_gift = $2 AND region = $3",
            &[&2_i64, &true, &"FR"],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "1");
    assert_eq!(row.get::<_, i64>(1), 2);
    let ts: std::time::SystemTime = row.get(2);
    assert_eq!(ts.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_767_607_210);
    let sql = "SELECT order_id FROM orders WHERE ts <= $1 ORDER BY ts";
    assert_eq!(client.query(sql, &[&ts]).await.unwrap().len(), 1);
    let row = client
        .query_one(
            "SELECT $1::float8 * 2 AS f, $2::text AS t, $3::int8 IS NULL AS n",
            &[&1.5_f64, &"grün", &None::<i64>],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, f64>(0).to_string(), "3");
    assert_eq!(row.get::<_, &str>(1), "grün");
    assert!(row.get::<_, bool>(2));
    let some = client
        .query("SELECT order_id FROM orders WHERE order_id IN ($1, $2)", &[&"1", &"3"])
        .await
        .unwrap();
    assert_eq!(some.len(), 2);
    let limited = client.query("SELECT order_id FROM orders LIMIT $1", &[&1_i64]).await.unwrap();
    assert_eq!(limited.len(), 1);
}

#[tokio::test]
async fn portals_give_so_many_rows_as_are_asked_for() {
    let running = start().await;
    let mut client = connect(&running).await;
    let transaction = client.transaction().await.unwrap();
    let sql = "SELECT value FROM generate_series(1, 20000)";
    let portal = transaction.bind(sql, &[]).await.unwrap();
    let mut sizes = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 9_000).await.unwrap();
        sizes.push(rows.len());
        if rows.len() < 9_000 {
            break;
        }
    }
    assert_eq!(sizes, [9_000, 9_000, 2_000]);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn errors_have_code_position_and_hint() {
    let running = start().await;
    let client = connect(&running).await;
    for (sql, expected, position) in [
        ("SELECT 'ü', regin FROM orders", "42703", Some(13)),
        ("SELECT 1 FROM ordrs", "42P01", Some(15)),
        ("SELEC 1", "42601", Some(1)),
        ("SELECT 1/0 AS x FROM orders", "22012", None),
        ("CREATE TABLE t (a INT)", "25006", None),
        ("INSERT INTO orders VALUES (1)", "25006", None),
        ("COPY orders FROM STDIN", "25006", None),
        ("COPY orders TO 'landing/x.csv'", "25006", None),
        ("CREATE TABLE t AS SELECT 1 AS one", "25006", None),
        ("COPY (SELECT 'ü', regin FROM orders) TO STDOUT", "42703", Some(19)),
        ("FETCH 1 FROM nothing", "34000", None),
    ] {
        for simple in [true, false] {
            let error = if simple {
                client.simple_query(sql).await.map(|_| ()).unwrap_err()
            } else {
                client.query(sql, &[]).await.map(|_| ()).unwrap_err()
            };
            let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
            assert_eq!(error.code().code(), expected, "{sql}: {error}");
            let found = match error.position() {
                Some(tokio_postgres::error::ErrorPosition::Original(at)) => Some(*at),
                _ => None,
            };
            assert_eq!(found, position, "{sql}");
        }
    }
    let error = client.query("SELECT regin FROM orders", &[]).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().hint(), Some("did you mean `region`?"));
    assert_eq!(client.query("SELECT 1 AS one", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_transaction_waits_for_its_end() {
    let running = start().await;
    let client = connect(&running).await;
    client.batch_execute("BEGIN").await.unwrap();
    assert!(client.simple_query("SELECT nothing").await.is_err());
    let error = client.simple_query("SELECT 1 AS one").await.unwrap_err();
    assert_eq!(*code(&error), SqlState::IN_FAILED_SQL_TRANSACTION);
    client.batch_execute("ROLLBACK").await.unwrap();
    client.batch_execute("BEGIN; SELECT 1 AS one; COMMIT").await.unwrap();
}

#[tokio::test]
async fn cursors_and_settings_work() {
    let running = start().await;
    let client = connect(&running).await;
    client
        .batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT order_id FROM orders ORDER BY order_id")
        .await
        .unwrap();
    let rows = client.query("FETCH FORWARD 2 FROM c", &[]).await.unwrap();
    let ids: Vec<&str> = rows.iter().map(|it| it.get("order_id")).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(client.query("FETCH ALL FROM c", &[]).await.unwrap().len(), 1);
    assert_eq!(client.query("FETCH ALL FROM c", &[]).await.unwrap().len(), 0);
    client.batch_execute("CLOSE c; COMMIT").await.unwrap();
    client
        .batch_execute("SET statement_timeout = '20 s'; SET application_name = 'x'")
        .await
        .unwrap();
    let shown = client.query_one("SHOW application_name", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "x");
    let several = client.simple_query("SELECT 1 AS one; SELECT 2 AS two").await.unwrap();
    let rows = several.iter().filter(|it| matches!(it, SimpleQueryMessage::Row(_))).count();
    assert_eq!(rows, 2);
    assert!(client.simple_query("").await.is_ok());
}

const LONG: &str =
    "SELECT count(*) AS n FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_can_be_cancelled_and_time_out() {
    let running = start().await;
    let client = connect(&running).await;
    let token = client.cancel_token();
    let cancelling = async {
        tokio::task::yield_now().await;
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..3 {
            tries.tick().await;
        }
        token.cancel_query(NoTls).await.unwrap();
    };
    let (error, ()) = tokio::join!(client.simple_query(LONG), cancelling);
    assert_eq!(*code(&error.unwrap_err()), SqlState::QUERY_CANCELED);
    client.batch_execute("SET statement_timeout = 100").await.unwrap();
    for _ in 0..2 {
        let error = client.simple_query(LONG).await.unwrap_err();
        assert_eq!(*code(&error), SqlState::QUERY_CANCELED);
    }
    assert!(client.query("SELECT 1 AS one", &[]).await.is_ok());
}

#[tokio::test]
async fn stopping_ends_idle_connections() {
    let running = start().await;
    let client = connect(&running).await;
    running.stop.send(true).unwrap();
    let mut tries = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..100 {
        tries.tick().await;
        if client.is_closed() {
            return;
        }
    }
    panic!("the connection was left open");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused() {
    let running = start().await;
    let mut clients = Vec::new();
    for _ in 0..base::limits::POSTGRES_CONNECTIONS_MAX {
        clients.push(TcpStream::connect(("127.0.0.1", running.port)).await.unwrap());
    }
    let mut tries = tokio::time::interval(Duration::from_millis(20));
    let mut told = None;
    for _ in 0..100 {
        tries.tick().await;
        told = connect_as(running.port, "mainstem", PASSWORD).await.err();
        if told.is_some() {
            break;
        }
    }
    assert_eq!(*code(&told.unwrap()), SqlState::TOO_MANY_CONNECTIONS);
    drop(clients);
}

async fn psql(port: u16, password: &str, commands: &[&str]) -> Option<Output> {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-h", "127.0.0.1", "-U", "mainstem", "-p", &port.to_string()]);
    psql.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10").stdin(Stdio::null());
    for command in commands {
        psql.args(["-c", command]);
    }
    match psql.output().await {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: psql is not installed ({error})");
            None
        }
    }
}

#[tokio::test]
async fn psql_comes_in_only_with_the_password() {
    let running = start().await;
    for password in ["wrong", "x"] {
        let Some(output) = psql(running.port, password, &["SELECT 1"]).await else { return };
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && told.contains("password authentication failed"),
            "{told}"
        );
    }
    let Some(output) = psql(running.port, PASSWORD, &["SELECT 40 + 2 AS answer"]).await else {
        return;
    };
    assert!(String::from_utf8_lossy(&output.stdout).contains("42"));
}

#[tokio::test]
async fn psql_shows_what_there_is() {
    let running = start().await;
    for (command, expected) in [
        (r"\dt", "sales_by_minute"),
        (r"\d", "orders"),
        (r"\d orders", "quantity"),
        (r"\dn", "public"),
        (r"\dv", "Did not find"),
        (r"\l", "mainstem"),
        (r"\du", "Role name"),
        (r"\df", "Name"),
        ("SELECT * FROM orders ORDER BY order_id", "2026-01-05 10:00:10"),
        ("SELECT total FROM orders WHERE order_id = '2'", "10.50"),
        ("EXPLAIN SELECT 1 AS one", "plan"),
        ("SELECT current_database() AS d, current_schema() AS s, version() AS v", "mainstem"),
    ] {
        let Some(output) = psql(running.port, PASSWORD, &[command]).await else { return };
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!((told.clone() + &errors).contains(expected), "{command}: {told}{errors}");
        assert!(!errors.contains("ERROR"), "{command}: {errors}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(8))]

    #[test]
    fn no_bytes_end_the_server(bytes in proptest::collection::vec(0_u8.., 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let running = start().await;
            let mut stream = TcpStream::connect(("127.0.0.1", running.port)).await.unwrap();
            drop(stream.write_all(&bytes).await);
            drop(stream.shutdown().await);
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            assert!(connect_as(running.port, "mainstem", PASSWORD).await.is_ok());
        });
    }
}
