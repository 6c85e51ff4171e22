use expect_test::expect;

use crate::load::tests::{check, check_all, load};

const TOML: &str = r#"
[bucket.landing]
from = "landing"

[stream.sales]
schema = "infer"
time = "at"
from = [{ door = "files", bucket = "landing", matching = "sales/**" }]
"#;

const DAILY: &str = "SELECT count(*) AS sales FROM sales";

#[test]
fn a_stream_waits_for_its_columns() {
    let project = load(&[("mainstem.toml", TOML), ("daily.sql", DAILY)], None).unwrap();
    assert!(project.awaited.contains_key("sales"));
    assert!(!project.streams.contains_key("sales"));
    assert!(!project.tables.contains_key("daily"), "it reads what waits");
    assert!(project.streams.contains_key("landing_events"));
}

#[test]
fn columns_that_were_found_are_those_of_the_stream() {
    let schema = "[stream.sales.columns]\nat = 'timestamp'\nprice = 'float'\n";
    let files = [("mainstem.toml", TOML), ("daily.sql", DAILY), ("schemas/sales.toml", schema)];
    let project = load(&files, None).unwrap();
    assert!(project.awaited.is_empty());
    assert!(project.tables.contains_key("daily"));
    let columns = &project.streams["sales"].columns;
    let names: Vec<&str> = columns.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["at", "price"]);
}

#[test]
fn what_was_found_is_checked_as_what_is_declared() {
    let schema = "[stream.sales.columns]\nat = 'text'\n";
    check_all(
        &[("mainstem.toml", TOML), ("schemas/sales.toml", schema)],
        &expect![[r#"
            mainstem.toml:7:8: `time` needs a timestamp, and `at` is text; declare it as `at = "timestamp not null"`
        "#]],
    );
}

#[test]
fn columns_stand_in_one_place() {
    let toml = format!("{TOML}columns.at = 'timestamp'\n");
    let schema = "[stream.sales.columns]\nat = 'timestamp'\n";
    let files = [("mainstem.toml", toml.as_str()), ("schemas/sales.toml", schema)];
    let faults = load(&files, None).unwrap_err().to_string();
    let said = "`sales` has columns here and in `schemas/sales.toml`; keep one";
    assert!(faults.contains(said), "{faults}");
}

#[test]
fn columns_are_found_in_files_only() {
    check(
        "[stream.sales]\nschema = \"infer\"\n",
        &expect![[r#"
            mainstem.toml:2:10: columns are found in files, and the stream has no door `files`; add `from = [{ door = "files", bucket = "NAME", matching = "PATTERN" }]`, or declare the columns
        "#]],
    );
}
