use bytes::{BufMut as _, BytesMut};
use pgwire::messages::data::DataRow;

use super::super::commands::{Command, read};
use super::{CopyForm, CopyKind};

fn form(sql: &str) -> Result<CopyForm, String> {
    match read(sql).map_err(|error| error.to_string())?.pop() {
        Some(Command::CopyOut { form, .. }) => Ok(form),
        other => Err(format!("{other:?}")),
    }
}

fn written(sql: &str, fields: &[Option<&str>]) -> String {
    let form = form(sql).unwrap();
    let mut data = BytesMut::new();
    for field in fields {
        match field {
            None => data.put_i32(-1),
            Some(text) => {
                data.put_i32(i32::try_from(text.len()).unwrap());
                data.put_slice(text.as_bytes());
            }
        }
    }
    let row = DataRow::new(data, i16::try_from(fields.len()).unwrap());
    let forced = form.forced(&["a", "b", "c"]).unwrap();
    String::from_utf8(form.row(&row, &forced).unwrap()).unwrap()
}

#[test]
fn rows_are_written_as_postgresql_writes_them() {
    let text = "COPY (SELECT 1) TO STDOUT";
    let row = [Some("a\tb\\c\nd"), None, Some("")];
    assert_eq!(written(text, &row), "a\\tb\\\\c\\nd\t\\N\t\n");
    let csv = "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv)";
    assert_eq!(written(csv, &[Some("a\"b"), None, Some("")]), "\"a\"\"b\",,\"\"\n");
    let row = [Some("a,b"), Some("c d"), Some("e\nf")];
    assert_eq!(written(csv, &row), "\"a,b\",c d,\"e\nf\"\n");
    let other = "COPY (SELECT 1) TO STDOUT \
                 WITH (FORMAT csv, DELIMITER ';', NULL 'none', QUOTE '!', FORCE_QUOTE (b))";
    assert_eq!(written(other, &[Some("a;b"), Some("c"), None]), "!a;b!;!c!;none\n");
    assert_eq!(written(other, &[Some("oh!"), None, Some("none")]), "!oh!!!;none;!none!\n");
}

#[test]
fn what_psql_sends_is_understood() {
    let sent = form("COPY  ( SELECT 1 ) TO STDOUT  with csv header ;").unwrap();
    assert_eq!(sent.kind, CopyKind::Csv);
    assert_eq!(sent.header(&["a", "b c", "d,e"]).unwrap(), b"a,b c,\"d,e\"\n");
    assert_eq!(form("COPY orders (a, b) TO STDOUT BINARY").unwrap().kind, CopyKind::Binary);
    assert!(form("COPY orders TO STDOUT (HEADER true)").unwrap().header(&["a"]).is_some());
    let without = form("COPY orders TO STDOUT (FORMAT text, HEADER false)").unwrap();
    assert!(without.header(&["a"]).is_none());
}

#[test]
fn what_cannot_be_is_refused_with_the_fix() {
    for (sql, expected) in [
        ("COPY orders FROM STDIN", "rows come in through streams"),
        ("COPY orders TO PROGRAM 'cat'", "`COPY` writes to STDOUT or into a bucket"),
        ("COPY orders TO STDOUT (FORMAT parquet)", "are for files in buckets"),
        ("COPY orders TO STDOUT (FORMAT xml)", "not recognized"),
        ("COPY orders TO STDOUT (QUOTE '!')", "are for the format `csv`"),
        ("COPY orders TO STDOUT (FORMAT binary, HEADER)", "the format `binary` has no"),
        ("COPY orders TO STDOUT (FORMAT csv, DELIMITER '\"')", "cannot be the DELIMITER"),
        ("COPY orders TO 'x/y.csv' (DELIMITER ';')", "`DELIMITER` is not an option of a file"),
        ("COPY orders TO 'x/y' (FORMAT xlsx)", "there is no format `xlsx` of files"),
    ] {
        let told = form(sql).unwrap_err();
        assert!(told.contains(expected), "{sql}: {told}");
    }
    let missing = form("COPY orders TO STDOUT (FORMAT csv, FORCE_QUOTE (nothing))").unwrap();
    assert!(missing.forced(&["a"]).unwrap_err().message.contains("`nothing`"));
}
