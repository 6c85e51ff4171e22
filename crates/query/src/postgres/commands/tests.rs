use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Command, Settings, read};

#[expect(clippy::needless_pass_by_value, reason = "the shape of all expect tests")]
fn check(sql: &str, expected: Expect) {
    let found = match read(sql) {
        Ok(commands) => {
            let names = commands.iter().map(|it| {
                let text = format!("{it:?}");
                text.split(['(', ' ']).next().unwrap().to_owned()
            });
            names.collect::<Vec<_>>().join(", ")
        }
        Err(error) => format!("{} {error}", error.sqlstate),
    };
    expected.assert_eq(&found);
}

#[test]
fn statements_are_told_apart() {
    check("", expect![""]);
    check(" ;; -- nothing\n", expect![""]);
    check("SELECT 1; SELECT 2", expect!["Rows, Rows"]);
    check(
        "BEGIN; START TRANSACTION READ ONLY; COMMIT; END; ROLLBACK",
        expect!["Begin, Begin, Commit, Commit, Rollback"],
    );
    check(
        "SET statement_timeout = 5000; SET TIME ZONE 'UTC'; RESET ALL; SHOW server_version",
        expect!["Set, Set, Reset, Show"],
    );
    check(
        "DECLARE c CURSOR FOR SELECT 1; FETCH FORWARD 10 FROM c; CLOSE c",
        expect!["Declare, Fetch, Close"],
    );
    check("DISCARD ALL; DEALLOCATE ALL; DEALLOCATE s", expect!["Discard, Deallocate, Deallocate"]);
    check("EXPLAIN SELECT 1", expect!["Rows"]);
    check("SHOW TABLES", expect!["Rows"]);
    check("VALUES (1)", expect!["Rows"]);
    check("PREPARE q (int) AS SELECT $1; EXECUTE q(1)", expect!["Prepare, Execute"]);
    check(
        "COPY orders TO STDOUT; SELECT 1; COPY (SELECT 1) TO 'landing/x.csv'",
        expect!["CopyOut, Rows, CopyFile"],
    );
    check("DROP TABLE IF EXISTS a, public.b; DROP MATERIALIZED VIEW c", expect!["Drop, Drop"]);
    check("DEALLOCATE PREPARE s", expect!["Deallocate"]);
}

#[test]
fn a_table_is_made_of_the_select_as_it_is_written() {
    let sql = "SELECT 1; -- one\nCREATE OR REPLACE TABLE public.big WITH (keep = '30 days', publish = 5, serve = \"Id\") AS\n  SELECT a AS x, '; AS' AS y\n  FROM t -- all\n;";
    let commands = read(sql).unwrap();
    let Some(Command::Create { table, at }) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(table.name, "big");
    assert!(table.or_replace && !table.if_not_exists);
    assert_eq!(table.select, "SELECT a AS x, '; AS' AS y\n  FROM t");
    assert!(sql.get(*at..).unwrap().starts_with("SELECT a AS x"));
    let settings = [("keep", "\"30 days\""), ("publish", "5"), ("serve", "\"Id\"")];
    assert_eq!(table.settings, settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let view = read("CREATE MATERIALIZED VIEW IF NOT EXISTS v AS (SELECT 1 AS one)").unwrap().pop();
    let Some(Command::Create { table, .. }) = view else { panic!("{view:?}") };
    assert_eq!((table.name.as_str(), table.select.as_str()), ("v", "(SELECT 1 AS one)"));
    assert!(table.if_not_exists);
    for (sql, expected) in [
        ("CREATE VIEW v AS SELECT 1", "25006"),
        ("CREATE TEMP TABLE t AS SELECT 1", "0A000"),
        ("CREATE TABLE system.t AS SELECT 1 AS one", "3F000"),
        ("CREATE TABLE t AS", "42601"),
    ] {
        assert_eq!(read(sql).unwrap_err().sqlstate, expected, "{sql}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases reads best whole")]
fn what_would_change_something_is_refused() {
    check(
        "CREATE TABLE t (a INT)",
        expect![
            "25006 a table is made of a SELECT; write `CREATE TABLE name AS SELECT …`: the table is kept up to date; rows come in through streams, which the project's files declare"
        ],
    );
    check(
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        expect![
            "25006 `CREATE EXTERNAL TABLE` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "INSERT INTO orders VALUES (1)",
        expect![
            "25006 `INSERT INTO` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "UPDATE orders SET a = 1",
        expect![
            "25006 `UPDATE` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "DELETE FROM orders",
        expect![
            "25006 `DELETE FROM` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "DROP TABLE orders CASCADE",
        expect!["0A000 `CASCADE` is not supported; drop the tables that read it first"],
    );
    check(
        "DROP SCHEMA public",
        expect![
            "25006 `DROP SCHEMA` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "TRUNCATE orders",
        expect![
            "25006 `TRUNCATE` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "ALTER TABLE orders ADD COLUMN a INT",
        expect![
            "25006 `ALTER TABLE` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "COPY orders FROM '/tmp/x.csv'",
        expect![
            "25006 `COPY … FROM` is refused: SQL only reads here; rows come in through streams: send them over HTTP, or put a file into a bucket"
        ],
    );
    check(
        "EXPLAIN DELETE FROM orders",
        expect![
            "25006 `DELETE FROM` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "GRANT ALL ON orders TO bob",
        expect![
            "25006 `GRANT ALL` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
        ],
    );
    check(
        "DECLARE c SCROLL CURSOR FOR SELECT 1",
        expect!["0A000 cursors only go forward; leave SCROLL out of DECLARE"],
    );
    check(
        "FETCH PRIOR FROM c",
        expect!["55000 cursors only go forward; write `FETCH FORWARD 100 FROM name`"],
    );
}

#[test]
fn settings_are_kept_or_refused() {
    let mut settings = Settings::default();
    assert_eq!(settings.statement_timeout(), base::limits::QUERY_DURATION_MAX);
    settings.set("statement_timeout", "1500").unwrap();
    assert_eq!(settings.statement_timeout(), Duration::from_millis(1500));
    settings.set("statement_timeout", "2 min").unwrap();
    assert_eq!(settings.statement_timeout(), Duration::from_secs(120));
    assert!(settings.set("statement_timeout", "soon").is_err());
    assert!(settings.set("client_encoding", "LATIN1").is_err());
    assert!(settings.set("timezone", "Europe/Paris").unwrap().is_some());
    assert_eq!(settings.show("timezone").unwrap(), "UTC");
    settings.set("application_name", "x").unwrap();
    assert_eq!(settings.show("application_name").unwrap(), "x");
    settings.reset(None);
    assert_eq!(settings.show("application_name").unwrap(), "");
    assert_eq!(settings.show("no_such_thing").unwrap_err().sqlstate, "42704");
}
