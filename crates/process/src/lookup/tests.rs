//! Files of lookups: what is found in them, and what is wrong with them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use expect_test::{Expect, expect};

use super::LookupData;
use super::read::LookupFile;

/// Returns a lookup of a project that is made for it, with more settings.
fn declared(folder: &std::path::Path, from: &str, more: &str) -> spec::Lookup {
    let toml = format!(
        "[project]\nname = \"p\"\n[lookup.pages]\nfrom = \"{from}\"\nkey = \"page\"\n{more}"
    );
    let texts = [("mainstem.toml", toml.as_str()), ("pages.csv", "page,since,until\n/a,,\n")];
    for (name, text) in texts.iter().filter(|(name, _)| !folder.join(name).is_file()) {
        std::fs::write(folder.join(name), text).unwrap();
    }
    spec::load(folder, None, &spec::placeholder).unwrap().lookups.into_values().next().unwrap()
}

fn read(from: &str, text: &[u8], before: Option<&LookupData>) -> Result<LookupData, String> {
    read_with(from, "", text, before)
}

fn read_with(
    from: &str,
    more: &str,
    text: &[u8],
    before: Option<&LookupData>,
) -> Result<LookupData, String> {
    let folder = tempfile::tempdir().unwrap();
    if !from.ends_with(".csv") {
        std::fs::write(folder.path().join(from), text).unwrap();
    }
    let declared = declared(folder.path(), from, more);
    std::fs::write(folder.path().join(from), text).unwrap();
    LookupFile::of(&declared, folder.path()).read(before)
}

fn show(read: Result<LookupData, String>) -> String {
    match read {
        Err(error) => format!("{error}\n"),
        Ok(data) => {
            let schema = data.schema();
            let types =
                schema.fields().iter().map(|it| format!("{}: {}", it.name(), it.data_type()));
            let lines = rows::json::lines(&data.rows.rows);
            format!("{}\n{}\n", types.collect::<Vec<_>>().join(", "), lines.join("\n"))
        }
    }
}

fn check(from: &str, text: &str, expected: &Expect) {
    expected.assert_eq(&show(read(from, text.as_bytes(), None)));
}

fn check_times(more: &str, text: &str, expected: &Expect) {
    expected.assert_eq(&show(read_with("pages.csv", more, text.as_bytes(), None)));
}

#[test]
fn types_are_found_from_the_values() {
    check(
        "pages.csv",
        "page,weight,price,since,at,zip,on,note\n\
         /a,2,1.5,2026-01-05,2026-01-05T10:00:00Z,007,true,\n\
         /b,,2,2026-01-06,2026-01-05 10:00:01,123,false,\"x, y\"\n",
        &expect![[r#"
            page: Utf8View, weight: Int64, price: Float64, since: Date32, at: Timestamp(µs, "UTC"), zip: Utf8View, on: Boolean, note: Utf8View
            {"page":"/a","weight":2,"price":1.5,"since":"2026-01-05","at":"2026-01-05T10:00:00Z","zip":"007","on":true,"note":null}
            {"page":"/b","weight":null,"price":2.0,"since":"2026-01-06","at":"2026-01-05T10:00:01Z","zip":"123","on":false,"note":"x, y"}
        "#]],
    );
    check(
        "pages.ndjson",
        "{\"page\":\"/a\",\"weight\":2,\"tags\":[1]}\n\n{\"page\":7,\"weight\":2.5}\n",
        &expect![[r#"
            page: Utf8View, tags: Utf8View, weight: Float64
            {"page":"/a","tags":"[1]","weight":2.0}
            {"page":"7","tags":null,"weight":2.5}
        "#]],
    );
}

#[test]
fn a_parquet_file_has_its_own_types() {
    let pages: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["/a", "/b"]));
    let weights: ArrayRef = Arc::new(arrow::array::Int32Array::from(vec![Some(2), None]));
    let since = TimestampMicrosecondArray::from(vec![1_767_607_200_000_000, 0]);
    let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
    let fields = vec![
        Field::new("page", DataType::Utf8, false),
        Field::new("weight", DataType::Int32, true),
        Field::new("since", kind, false),
    ];
    let schema = Arc::new(Schema::new(fields));
    let columns = vec![pages, weights, Arc::new(since) as ArrayRef];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        datafusion::parquet::arrow::ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let first = read_with("pages.parquet", "valid_from = \"since\"\n", &bytes, None);
    expect![[r#"
        page: Utf8View, weight: Int64, since: Timestamp(µs, "UTC"), valid_to: Timestamp(µs, "UTC")
        {"page":"/a","weight":2,"since":"2026-01-05T10:00:00Z","valid_to":"9999-12-31T23:59:59.999999Z"}
        {"page":"/b","weight":null,"since":"1970-01-01T00:00:00Z","valid_to":"9999-12-31T23:59:59.999999Z"}
    "#]].assert_eq(&show(first));
    let broken = bytes.split_at(bytes.len() / 2).0;
    expect![[r#"
        `pages.parquet`: Parquet error: Invalid Parquet file. Corrupt footer
    "#]]
    .assert_eq(&show(read("pages.parquet", broken, None)));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let csv = |text, expected: &Expect| check("pages.csv", text, expected);
    csv(
        "name\nx\n",
        &expect![[r#"
        `pages.csv` has no column `page`, which is its key; its columns are name
    "#]],
    );
    csv(
        "page,n\n\"/a\n\",1\n/b,1\n/b,2\n",
        &expect![[r#"
        `pages.csv`, line 5: the key `page` is "/b" a second time; it must be unique, or `valid_from` must name the column that says from when each row is valid
    "#]],
    );
    csv(
        "page,n\n,1\n",
        &expect![[r#"
        `pages.csv`, line 2: the key `page` is empty
    "#]],
    );
    csv(
        "page,n\n/a,1\n/b,1,2\n",
        &expect![[r#"
        `pages.csv`, line 3: expected 2 fields, found 3
    "#]],
    );
    let json = |text, expected: &Expect| check("pages.jsonl", text, expected);
    json(
        "{\"page\":1}\n\n[1]\n",
        &expect![[r#"
        `pages.jsonl`, line 3, character 0: expected a JSON object; invalid type: sequence, expected a map
    "#]],
    );
    json(
        "{\"page\":null}\n",
        &expect![[r#"
        `pages.jsonl`, line 1: the key `page` is empty
    "#]],
    );
    let typed = "columns.until = \"int\"\n";
    check_times(
        typed,
        "page,until\n/a,1\n/b,1.5\n",
        &expect![[r#"
        `pages.csv`, line 3: column `until`: expected int, found the string "1.5"; write a whole number without point and exponent
    "#]],
    );
}

#[test]
fn rows_valid_at_times_say_until_when() {
    let from = "valid_from = \"since\"\n";
    let both = "valid_from = \"since\"\nvalid_to = \"until\"\n";
    check_times(
        from,
        "page,since\n/a,2026-01-05\n/b,2026-01-06T10:00:00Z\n/a,2026-01-04T00:00:00.5Z\n",
        &expect![[r#"
            page: Utf8View, since: Timestamp(µs, "UTC"), valid_to: Timestamp(µs, "UTC")
            {"page":"/a","since":"2026-01-05T00:00:00Z","valid_to":"9999-12-31T23:59:59.999999Z"}
            {"page":"/b","since":"2026-01-06T10:00:00Z","valid_to":"9999-12-31T23:59:59.999999Z"}
            {"page":"/a","since":"2026-01-04T00:00:00.5Z","valid_to":"2026-01-05T00:00:00Z"}
        "#]],
    );
    check_times(
        both,
        "page,since,until\n/a,2026-01-05,2026-01-06\n/a,2026-01-07,\n",
        &expect![[r#"
            page: Utf8View, since: Timestamp(µs, "UTC"), until: Timestamp(µs, "UTC")
            {"page":"/a","since":"2026-01-05T00:00:00Z","until":"2026-01-06T00:00:00Z"}
            {"page":"/a","since":"2026-01-07T00:00:00Z","until":"9999-12-31T23:59:59.999999Z"}
        "#]],
    );
    check_times(
        both,
        "page,since,until\n/a,2026-01-05,\n/b,2026-01-05,\n",
        &expect![[r#"
        page: Utf8View, since: Timestamp(µs, "UTC"), until: Timestamp(µs, "UTC")
        {"page":"/a","since":"2026-01-05T00:00:00Z","until":"9999-12-31T23:59:59.999999Z"}
        {"page":"/b","since":"2026-01-05T00:00:00Z","until":"9999-12-31T23:59:59.999999Z"}
    "#]],
    );
}

#[test]
fn rows_that_are_valid_at_one_time_are_refused() {
    let from = "valid_from = \"since\"\n";
    let both = "valid_from = \"since\"\nvalid_to = \"until\"\n";
    check_times(
        from,
        "page,since\n/a,2026-01-05\n/a,2026-01-05\n",
        &expect![[r#"
        `pages.csv`, line 3: the key `page` is "/a" from 2026-01-05T00:00:00Z on a second time
    "#]],
    );
    check_times(
        from,
        "page,since\n/a,2026-01-05\n/a,\n",
        &expect![[r#"
        `pages.csv`, line 3: column `since`: every row must say from when it is valid
    "#]],
    );
    check_times(
        from,
        "page,since\n/a,soon\n",
        &expect![[r#"
        `pages.csv`, line 2: column `since`: expected timestamp, found the string "soon"; write RFC 3339, for example "2026-01-05T10:00:00Z"
    "#]],
    );
    check_times(
        from,
        "page,since,valid_to\n/a,2026-01-05,2026-01-06\n",
        &expect![[r#"
        `pages.csv` has a column `valid_to`, which else is found from the next row of the key; add `valid_to = "valid_to"`, or give it another name
    "#]],
    );
    check_times(
        both,
        "page,since,until\n/a,2026-01-05,2026-01-05\n",
        &expect![[r#"
        `pages.csv`, line 2: the key `page` is "/a" from 2026-01-05T00:00:00Z up to 2026-01-05T00:00:00Z, which is never
    "#]],
    );
    check_times(
        both,
        "page,since,until\n/a,2026-01-05,2026-01-08\n/a,2026-01-07,\n",
        &expect![[r#"
            `pages.csv`, line 3: the key `page` is "/a" from 2026-01-07T00:00:00Z on, while an earlier row of it is valid up to 2026-01-08T00:00:00Z; one at a time can be
        "#]],
    );
}

#[test]
fn a_new_version_keeps_the_columns_of_the_first() {
    let first = read("pages.csv", b"page,n\n/a,1\n", None).unwrap();
    let second = read("pages.csv", b"page,n,more\n/a,1,x\n/b,2,y\n", Some(&first)).unwrap();
    assert_eq!(second.schema(), first.schema());
    assert_ne!(second.version(), first.version());
    let error = read("pages.csv", b"page,n\n/a,many\n", Some(&first)).unwrap_err();
    assert!(error.contains("line 2"), "{error}");
    let error = read("pages.csv", b"page\n/a\n", Some(&first)).unwrap_err();
    assert!(error.contains("no column `n`"), "{error}");
}
