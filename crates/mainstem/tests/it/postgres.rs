//! The PostgreSQL wire of the real program, asked by psql and by tokio-postgres.

use std::process::{Command, Stdio};

use tokio_postgres::{Client, Config, Error, NoTls};

use crate::program::Program;

const PROJECT: &str = r#"
[stream.orders]
time = "ts"

[stream.orders.columns]
ts     = "timestamp not null"
region = "text"
total  = "decimal(12,2)"

[table.by_region]
sql = "SELECT region, count(*) AS orders, sum(total) AS revenue FROM orders GROUP BY region"
"#;

struct Fixture {
    program: Program,
    password: String,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mainstem.toml"), PROJECT).unwrap();
        let data = folder.path().join(".mainstem");
        let program = Program::start(folder.path(), &data);
        let lines = "{\"ts\":\"2026-01-05T10:00:10Z\",\"region\":\"fr\",\"total\":\"20.10\"}\n\
                     {\"ts\":\"2026-01-05T10:00:20Z\",\"region\":\"fr\",\"total\":\"5\"}\n\
                     {\"ts\":\"2026-01-05T10:00:30Z\",\"region\":\"de\",\"total\":null}";
        let (status, answer) = program.send("orders", lines.to_owned(), None).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        program.settle("orders").await;
        let password = std::fs::read_to_string(data.join("postgres.password")).unwrap();
        Fixture { program, password: password.trim().to_owned(), folder }
    }

    async fn connect(&self, user: &str, password: Option<&str>) -> Result<Client, Error> {
        let (host, port) = self.program.postgres.rsplit_once(':').unwrap();
        let mut config = Config::new();
        config.host(host).port(port.parse().unwrap()).user(user).dbname("mainstem");
        if let Some(password) = password {
            config.password(password);
        }
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// What psql prints, with its exit code.
    fn psql(&self, password: &str, arguments: &[&str]) -> (i32, String) {
        let (host, port) = self.program.postgres.rsplit_once(':').unwrap();
        let output = Command::new("psql")
            .args(["-w", "-h", host, "-p", port, "-U", "mainstem", "-X", "-A", "-t"])
            .args(arguments)
            .env("PGPASSWORD", password)
            .env("PGPASSFILE", "/dev/null")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_login_is_let_in() {
    let fixture = Fixture::new().await;
    let right = fixture.password.as_str();
    let client = fixture.connect("mainstem", Some(right)).await.unwrap();
    let row = client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 3);

    let wrong = format!("{right}x");
    let logins = [
        ("mainstem", Some(wrong.as_str())),
        ("mainstem", Some("")),
        ("mainstem", None),
        ("postgres", Some(right)),
        ("postgres", Some("")),
        ("root", None),
        ("", Some(right)),
        ("MAINSTEM", Some(right)),
    ];
    for (user, password) in logins {
        let result = fixture.connect(user, password).await;
        assert!(result.is_err(), "`{user}` with {password:?} was let in");
    }
    // The password's file is for its owner alone.
    let file = fixture.folder.path().join(".mainstem/postgres.password");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound_and_changes_refused() {
    let fixture = Fixture::new().await;
    let client = fixture.connect("mainstem", Some(&fixture.password)).await.unwrap();
    let sql = "SELECT region, orders, CAST(revenue AS TEXT) FROM by_region WHERE region = $1 AND orders >= $2";
    let statement = client.prepare(sql).await.unwrap();
    let rows = client.query(&statement, &[&"fr", &1_i64]).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = (rows[0].get::<_, &str>(0), rows[0].get::<_, i64>(1), rows[0].get::<_, &str>(2));
    assert_eq!(row, ("fr", 2, "25.10"));
    assert!(client.query(&statement, &[&"fr' OR 'a' = 'a", &1_i64]).await.unwrap().is_empty());

    let changes = [
        "CREATE TABLE x (a int)",
        "INSERT INTO orders VALUES (now(), 'x', 1)",
        "DELETE FROM orders",
        "UPDATE orders SET region = 'x'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
    ];
    for change in changes {
        let error = client.batch_execute(change).await.unwrap_err();
        let code = error.code().unwrap_or_else(|| panic!("{change}: {error}")).code();
        assert_eq!(code, "25006", "{change}: {error:?}");
    }
    for (change, state) in [("COPY orders TO '/tmp/x'", "42501"), ("DROP TABLE orders", "42809")] {
        let error = client.batch_execute(change).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), state, "{error:?}");
    }
    // A refusal ends nothing.
    let row = client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 3);
    let error = client.query("SELECT regin FROM orders", &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.code().code(), error.hint()), ("42703", Some("did you mean `region`?")));
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_works() {
    if Command::new("psql").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no psql here");
        return;
    }
    let fixture = Fixture::new().await;
    let password = fixture.password.as_str();
    let ask = |sql: &str| fixture.psql(password, &["-c", sql]);
    let sql = "SELECT region, orders, revenue FROM by_region ORDER BY region";
    assert_eq!(ask(sql), (0, "de|1|\nfr|2|25.10\n".to_owned()));
    assert_eq!(
        ask("SELECT sum(received - stored - dead - pending) FROM system.conservation").1,
        "0\n"
    );
    let (code, tables) = ask("\\dt");
    assert_eq!(code, 0, "{tables}");
    assert!(
        tables.contains("public|orders|table") && tables.contains("public|by_region|table"),
        "{tables}"
    );
    let (code, said) = ask("\\d orders");
    assert!(code == 0 && said.contains("total|numeric"), "{said}");
    let (code, said) = ask("DROP TABLE orders");
    assert!(code == 1 && said.contains("was not made by CREATE TABLE"), "{said}");
    let (code, said) = ask("SELECT regin FROM orders");
    assert!(
        code == 1 && said.contains("LINE 1") && said.contains("did you mean `region`?"),
        "{said}"
    );
    for wrong in ["wrong", ""] {
        let (code, said) = fixture.psql(wrong, &["-c", "SELECT 1"]);
        assert_eq!(code, 2, "{said}");
    }
    let file = fixture.folder.path().join("ask.sql");
    std::fs::write(&file, "PREPARE q AS SELECT 1;").unwrap();
    let (_, said) = fixture.psql(password, &["-f", file.to_str().unwrap()]);
    assert!(!said.contains("server closed the connection"), "{said}");
}
