//! The command line from outside: what it prints, where, and with which exit code.

use std::fs;
use std::path::Path;

use crate::program::{Program, mainstem, printed};

/// The exit code and everything printed of a command.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = mainstem(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Makes a project of these files and returns its folder.
fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn word(path: &Path) -> &str {
    path.to_str().unwrap()
}

const FAULTY: &str = r#"[stream.orders]
tme = "ts"
replay = "2 dys"
columns = { ts = "timestmp not null", total = "int" }

[alert.high]
sql = "SELECT minute FROM by_minut"
notify = ["nobody"]

[strem.other]
"#;

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_fix() {
    let folder = project(&[
        ("mainstem.toml", FAULTY),
        ("a.sql", "SELECT * FROM b"),
        ("b.sql", "SELECT * FROM a"),
    ]);
    let expected = [
        ("mainstem.toml:2:1", "unknown key `tme`", "did you mean `time`?"),
        ("mainstem.toml:3:10", "`2 dys` is not a duration", "write `\"2 days\"`"),
        ("mainstem.toml:4:18", "`timestmp not null` is not a type", "did you mean `timestamp`?"),
        ("mainstem.toml:7:", "there is no table `by_minut`", "help: "),
        ("mainstem.toml:8:11", "there is no notify `nobody`", "declare it: `[notify.nobody]`"),
        ("mainstem.toml:10:2", "unknown section `strem`", "did you mean `stream`?"),
        ("a.sql:1:", "tables read each other in a circle", "help: "),
    ];
    for command in ["check", "test", "run"] {
        let (code, said) = run(&[command, word(folder.path())]);
        assert_eq!(code, 2, "{command}: {said}");
        for (place, message, help) in expected {
            for part in [place, message, help] {
                assert!(said.contains(part), "{command} does not say {part}:\n{said}");
            }
        }
    }
}

#[test]
fn mistakes_inside_sql_are_told_with_their_line_and_column() {
    let stream = "[stream.orders]\ntime = \"ts\"\ncolumns = { ts = \"timestamp\", region = \"text\", total = \"int\" }\n\
                  checks = { is_positive = \"totl > 0\" }\n";
    let table = "/*\nlate = \"1 minute\"\n*/\nSELECT tumble(ts, '1 minute') AS minute, regin,\n       cout(*) AS orders\nFROM orders\nGROUP BY minute, regin\n";
    let folder = project(&[("mainstem.toml", stream), ("by_minute.sql", table)]);
    let (code, said) = run(&["check", word(folder.path())]);
    assert_eq!(code, 2, "{said}");
    for part in [
        "mainstem.toml:4:27",
        "column `totl` not found",
        "did you mean `total`?",
        "by_minute.sql:4:42",
        "column `regin` not found",
        "did you mean `region`?",
        "by_minute.sql:5:8",
        "function `cout` not found",
    ] {
        assert!(said.contains(part), "check does not say {part}:\n{said}");
    }
}

/// Faults of the TOML, of the SQL of a check, a table, an alert and of a chart, none of which
/// comes from another.
const FAULTY_EVERYWHERE: &str = r#"
[stream.orders]
tme = "ts"
columns = { ts = "timestamp", region = "text", total = "int" }
checks = { is_positive = "totl > 0" }

[stream.visits]
columns = { page = "txt" }

[table.pages]
sql = "SELECT page, count(*) AS visits FROM visits GROUP BY page"

[table.totals]
layr = "reporting"
sql = "SELECT region, sum(total) AS sales, summ(total) AS worse FROM orders GROUP BY region"

[table.on_totals]
sql = "SELECT regin FROM totals"

[table.clean]
sql = "SELECT region, total FROM orders"
columns.regio = "where it was sold"

[alert.high]
sql = "SELECT region, totall FROM clean"
notify = ["nobody"]

[dashboard.sales]
titel = "Sales"

[[dashboard.sales.chart]]
type = "bar"
from = "clean"
x = "regionn"
y = "total"
"#;

#[test]
fn mistakes_of_toml_and_sql_are_told_in_one_go_and_no_consequence_of_them() {
    let folder = project(&[("mainstem.toml", FAULTY_EVERYWHERE)]);
    let (code, said) = run(&["check", word(folder.path())]);
    assert_eq!(code, 2, "{said}");
    for part in [
        "unknown key `tme`",
        "column `totl` not found",
        "`txt` is not a type",
        "unknown key `layr`",
        "function `summ` not found",
        "column `totall` not found",
        "there is no notify `nobody`",
        "`clean` has no column `regionn`",
        "`clean` has no column `regio`",
        "unknown key `titel`",
    ] {
        assert_eq!(said.matches(part).count(), 1, "check does not say {part} once:\n{said}");
    }
    for consequence in ["`visits`", "`regin`", "`page`"] {
        assert!(!said.contains(consequence), "{consequence} is a consequence:\n{said}");
    }
}

const COUNTED: &str = r#"
[stream.visits]
columns = { page = "text not null", ms = "int" }

[table.pages]
sql = "SELECT page, count(*) AS visits FROM visits GROUP BY page"

[test.pages_are_counted]
given.visits = '''
{"page":"/","ms":1}
{"page":"/","ms":2}
'''
expect.pages = '''
{"page":"/","visits":EXPECTED}
'''
"#;

#[test]
fn a_failed_test_shows_both_sides_and_fails() {
    let right = COUNTED.replace("EXPECTED", "2");
    let folder = project(&[("mainstem.toml", &right)]);
    let (code, said) = run(&["test", word(folder.path())]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("pass  pages_are_counted"), "{said}");
    assert!(said.contains("1 passed, 0 failed"), "{said}");

    let wrong = COUNTED.replace("EXPECTED", "3");
    let folder = project(&[("mainstem.toml", &wrong)]);
    let (code, said) = run(&["test", word(folder.path())]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FAIL  pages_are_counted (mainstem.toml:8"), "{said}");
    let sides = said.lines().find(|it| it.contains("visits=3")).unwrap_or_default();
    assert!(sides.contains("visits=2"), "the two sides are not shown:\n{said}");
}

#[test]
fn run_refuses_an_address_that_others_reach() {
    let right = COUNTED.replace("EXPECTED", "2");
    let folder = project(&[("mainstem.toml", &right)]);
    for option in ["--http", "--postgres"] {
        let (code, said) = run(&["run", word(folder.path()), option, "0.0.0.0:0"]);
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains(&format!("{option} 0.0.0.0:0 would be open to the network")),
            "{said}"
        );
    }
    let (code, said) = run(&["run", word(folder.path()), "--http", "nonsense"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("write HOST:PORT"), "{said}");
}

#[test]
fn run_says_which_port_is_taken() {
    let right = COUNTED.replace("EXPECTED", "2");
    let folder = project(&[("mainstem.toml", &right)]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = run(&["run", word(folder.path()), "--http", &address]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("--http: cannot listen on {address}")), "{said}");
    assert!(said.contains("Port 0 takes any free port"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_is_well_passes_its_test_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    printed(&["new", word(&site)]);
    let said = printed(&["check", word(&site)]);
    assert_eq!(said, "site: 1 stream, 1 table, 1 alert, 1 dashboard, 1 test: all well\n");
    assert!(printed(&["test", word(&site)]).contains("1 passed, 0 failed"));
    let (code, said) = run(&["new", word(&site)]);
    assert_eq!(code, 1);
    assert!(said.contains("is not empty; name a new folder"), "{said}");

    let program = Program::start(&site, &site.join(".mainstem"));
    let lines = "{\"ts\":\"2026-01-05T10:00:10Z\",\"visitor\":\"a,\\\"b\\\"\",\"page\":\"/\",\"ms\":12}\n\
                 {\"ts\":\"2026-01-05T10:00:20Z\",\"visitor\":\"b\",\"page\":\"/\",\"ms\":-1}\n\
                 {\"ts\":\"2026-01-05T10:05:00Z\",\"visitor\":\"c\",\"page\":\"/\",\"ms\":1}";
    let (status, answer) = program.send("visits", lines.to_owned(), None).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    program.settle("visits").await;
    let sql = |query: &str, format: &str| {
        printed(&["sql", "--dir", word(&site), query, "--format", format])
    };
    let visits = "SELECT visitor, ms, ts FROM visits WHERE ms > 1";
    let check = || {
        assert_eq!(sql(visits, "csv"), "visitor,ms,ts\n\"a,\"\"b\"\"\",12,2026-01-05T10:00:10Z\n");
        assert_eq!(
            sql(visits, "json"),
            "{\"visitor\":\"a,\\\"b\\\"\",\"ms\":12,\"ts\":\"2026-01-05T10:00:10Z\"}\n"
        );
        let table =
            sql("SELECT page, visits, slowest FROM visits_by_minute WHERE slowest > 1", "table");
        assert!(table.contains("slowest") && table.ends_with("1 row\n"), "{table}");
        let (code, said) = run(&["sql", "--dir", word(&site), "SELECT vistor FROM visits"]);
        assert_eq!((code, said.contains("did you mean `visitor`?")), (1, true), "{said}");
    };
    check();
    let listed = printed(&["dead", "list", "visits", "--dir", word(&site)]);
    assert!(listed.starts_with("1 dead: check took_some_time\n"), "{listed}");
    let replayed = printed(&["dead", "replay", "visits", "--dir", word(&site)]);
    assert_eq!(replayed, "1 replayed: 0 stored, 1 dead again\n");
    program.stop();

    // The same answers from the files.
    check();
    let (code, said) = run(&["sql", "--dir", word(&site), "SELECT * FROM system.conservation"]);
    assert_eq!((code, said.contains("need the running program")), (1, true), "{said}");
    let (code, said) = run(&["dead", "list", "visits", "--dir", word(&site)]);
    assert_eq!((code, said.contains("start one with `mainstem run")), (1, true), "{said}");
}

#[test]
fn the_schema_of_the_project_files_is_json() {
    let schema: serde_json::Value = serde_json::from_str(&printed(&["schema"])).unwrap();
    let sections = schema["properties"].as_object().unwrap();
    for section in ["project", "stream", "lookup", "table", "alert", "notify", "dashboard", "test"]
    {
        assert!(sections.contains_key(section), "no {section} in {schema:#}");
    }
}
