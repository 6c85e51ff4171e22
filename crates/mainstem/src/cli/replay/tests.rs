use std::io::Write as _;
use std::path::Path;

use expect_test::{Expect, expect};
use tokio::sync::mpsc;

use super::read_all;

fn check(name: &str, content: &[u8], expected: &Expect) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let (sender, mut batches) = mpsc::channel(8);
    let outcome = read_all(&[path], &sender);
    drop(sender);
    let mut text = String::new();
    while let Some(batch) = batches.blocking_recv() {
        text.push_str(&String::from_utf8_lossy(&batch.lines));
    }
    if let Err(error) = outcome {
        text.push_str(&format!("{:?}", error.chain().last().map(ToString::to_string)));
    }
    expected.assert_eq(&text);
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, Path::new(path), *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn csv_rows_become_objects_and_empty_fields_null() {
    check(
        "a.csv",
        b"\xef\xbb\xbfid,note\n1,\"two, \"\"words\"\"\"\n2,\n3,x,extra\n4\n",
        &expect![[r#"
            {"id":"1","note":"two, \"words\""}
            {"id":"2","note":null}
            {"column_3":"extra","id":"3","note":"x"}
            {"id":"4"}
        "#]],
    );
}

#[test]
fn compressed_lines_and_archives_are_unpacked_in_order_of_name() {
    let expected = expect![[r#"
        {"a":1}
        {"a":2}
    "#]];
    check("a.ndjson.zst", &zstd(b"{\"a\":1}\n\n{\"a\":2}"), &expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"a\":1}\r\n{\"a\":2}\r\n").unwrap();
    check("a.jsonl.gz", &gzip.finish().unwrap(), &expected);
    let archive = tar(&[("x/2.json", b"{\"a\":2}"), ("x/1.json", b"{\"a\":1}")]);
    check("days.tar.zst", &zstd(&archive), &expected);
}

#[test]
fn a_file_of_unknown_kind_is_named() {
    check(
        "a.parquet",
        b"PAR1",
        &expect![[
            r#"Some("`a.parquet` has no ending that says what it holds: .csv, .ndjson, .jsonl or .json, with .gz, .zst or .tar around it")"#
        ]],
    );
}
