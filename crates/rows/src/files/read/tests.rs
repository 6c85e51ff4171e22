use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::files::{Depth, Verdict, look};
use crate::infer::Guess;

/// Looks at a file, then reads all of it as it was guessed: rows as JSON lines, then the rejects.
fn read(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let bytes = Bytes::copy_from_slice(bytes.as_ref());
    let looked = look(&bytes, name, Depth::default());
    assert!(matches!(looked.verdict, Verdict::Ok | Verdict::Truncated(_)), "{:?}", looked.verdict);
    let table = &looked.tables[0];
    let columns: Vec<ReadColumn> =
        table.columns.iter().map(|it| ReadColumn::of(&Guess::of(it))).collect();
    let source: Arc<dyn Source> = Arc::new(bytes);
    let reader = FileReader::open(&source, looked.compression, &table.format, &columns).unwrap();
    let mut said = String::new();
    for batch in reader {
        match batch {
            Ok(batch) => {
                crate::json::write_lines(&batch.rows, &mut said);
                for Reject { row, text, message, .. } in batch.rejects {
                    said += &format!("row {row}: {message} | {text}\n");
                }
            }
            Err(error) => said += &format!("{error}\n"),
        }
    }
    said
}

#[test]
fn values_are_read_in_the_form_that_was_found() {
    let text = "id;tag;menge\n1;31/01/2024;1.234,5\n2;01/02/2024;N/A\n3;;7,25\n";
    let rows = "{\"id\":1,\"tag\":\"2024-01-31\",\"menge\":1234.5}\n\
                {\"id\":2,\"tag\":\"2024-02-01\",\"menge\":null}\n\
                {\"id\":3,\"tag\":null,\"menge\":7.25}\n";
    assert_eq!(read("x.csv", text), rows);
    let latin: Vec<u8> =
        "id,ort\n1,Köln\n2,Málaga\n".chars().map(|it| u32::from(it) as u8).collect();
    let rows = "{\"id\":1,\"ort\":\"Köln\"}\n{\"id\":2,\"ort\":\"Málaga\"}\n";
    assert_eq!(read("x.csv", latin), rows);
    assert_eq!(read("x.csv", "#id,ort\n1,\"a\nb\"\n"), "{\"id\":1,\"ort\":\"a\\nb\"}\n");
    assert_eq!(
        read("x.csv", "1,2.5\n2,3.5\n"),
        "{\"column_1\":1,\"column_2\":2.5}\n{\"column_1\":2,\"column_2\":3.5}\n"
    );
}

#[test]
fn what_does_not_fit_is_a_reject_beside_its_neighbours() {
    let mut text = "id,n\n".to_owned();
    for row in 1..=200 {
        text += &match row {
            7 => "7,many\n".to_owned(),
            9 => "9\n".to_owned(),
            _ => format!("{row},{row}\n"),
        };
    }
    let said = read("x.csv", text);
    assert_eq!(said.lines().count(), 200);
    assert!(said.contains("row 7: column `n`: expected int, found the string \"many\" | 7,many\n"));
    assert!(said.contains("row 9: expected 2 fields, found 1 | 9\n"), "{said}");
}

#[test]
fn json_is_read_in_every_shape() {
    let rows = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n";
    assert_eq!(read("x", r#"[{"a":1,"b":"x"},{"a":2}]"#), rows);
    assert_eq!(read("x", "{\"a\":1,\"b\":\"x\"}\n{\"a\":2}\n"), rows);
    assert_eq!(read("x", r#"{"n":2,"items":[{"a":1,"b":"x"},{"a":2}]}"#), rows);
    assert_eq!(read("x", r#"[["a","b"],[1,"x"],[2,null]]"#), rows);
    let keyed = "{\"n\":1,\"key\":\"u1\"}\n{\"n\":2,\"key\":\"u2\"}\n";
    assert_eq!(read("x", r#"{"u1":{"n":1},"u2":{"n":2}}"#), keyed);
    assert_eq!(read("x", r#"[{"a":{"b":[1]}}]"#), "{\"a\":\"{\\\"b\\\":[1]}\"}\n");
    let bad = "{\"a\":1}\nrow 2: expected JSON | {\"a\":oops}\n";
    let said = read("x", "{\"a\":1}\n{\"a\":oops}\n{\"a\":3}\n");
    assert!(said.contains("{\"a\":3}") && said.contains(bad.lines().last().unwrap()), "{said}");
    let cut = read("x", r#"[{"a":1},{"a":2},{"a"#);
    assert_eq!(cut, "{\"a\":1}\n{\"a\":2}\nits JSON is damaged or cut off in row 3\n");
}

#[test]
fn a_long_file_is_read_piece_by_piece() {
    let mut text = "id,text\n".to_owned();
    for row in 0..60_000 {
        text += &format!("{row},\"wörd, {row}\"\n");
    }
    let said = read("x.csv", &text);
    assert_eq!(said.lines().count(), 60_000);
    assert!(said.ends_with("{\"id\":59999,\"text\":\"wörd, 59999\"}\n"));
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    assert_eq!(read("x.csv.zst", packed), said);
    let lines: String = (0..60_000).map(|it| format!("{{\"id\":{it}}}\n")).collect();
    assert_eq!(read("x", &lines), lines);
}

#[test]
fn files_with_types_are_read_as_they_declare() {
    let rows = "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":null}\n{\"id\":3,\"name\":\"c\"}\n";
    for bytes in crate::files::tests::samples::all() {
        assert_eq!(read("x", bytes), rows);
    }
}
