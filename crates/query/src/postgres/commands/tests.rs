use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Settings, read};

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
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases reads best whole")]
fn what_would_change_something_is_refused() {
    check(
        "CREATE TABLE t (a INT)",
        expect![
            "25006 `CREATE TABLE` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
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
        "DROP TABLE orders",
        expect![
            "25006 `DROP TABLE` is refused: SQL only reads here; tables are declared by the project's files, and rows come in through streams; ask with SELECT"
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
        "COPY orders TO STDOUT",
        expect![
            "0A000 `COPY` is not supported; `psql --csv -c 'SELECT …'` writes a file; rows come in through streams"
        ],
    );
    check(
        "COPY orders TO '/tmp/x.csv'",
        expect![
            "0A000 `COPY` is not supported; `psql --csv -c 'SELECT …'` writes a file; rows come in through streams"
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
