use bytes::Bytes;
use spec::ColumnType;

use super::*;
use crate::infer::Guess;

fn look_at(name: &str, bytes: impl AsRef<[u8]>) -> Looked {
    look(&Bytes::copy_from_slice(bytes.as_ref()), name, Depth::default())
}

/// The verdict, then each table: what it is, its rows, its columns with their types.
fn said(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let looked = look_at(name, bytes);
    let mut said = looked.verdict.word().to_owned();
    for table in &looked.tables {
        let columns: Vec<String> =
            table.columns.iter().map(|it| format!("{} {}", it.name, Guess::of(it).kind)).collect();
        let name = table.name.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        let about = if matches!(table.rows, Rows::Exactly(_)) { "" } else { "~" };
        let count = table.rows.count();
        said += &format!(" |{name} {} {about}{count}: {}", table.format.word(), columns.join(", "));
    }
    said
}

#[test]
fn the_delimiter_is_what_makes_a_table() {
    for delimiter in [",", ";", "\t", "|", "^", "\u{1}"] {
        let text =
            ["id,name,price", "1,Anna,2.5", "2,Ben,3.25", ""].join("\n").replace(',', delimiter);
        assert_eq!(said("x", text), "ok | csv 2: id int, name text, price float", "{delimiter:?}");
    }
    // Decimal commas between semicolons.
    assert_eq!(said("x", "a;b\n1,5;2,5\n3,5;4,25\n"), "ok | csv 2: a float, b float");
    let aligned = "  id   units  dollars\n   1       2    11.77\n   1       1    12.00\n   2      10     5.25\n";
    assert_eq!(said("x.txt", aligned), "ok | csv 3: id int, units int, dollars decimal(18,2)");
}

#[test]
fn quotes_protect_delimiters_and_line_ends() {
    let text = "id,text\n1,\"a, b\"\n2,\"line\nline\"\n3,\"he said \"\"no\"\"\"\n";
    assert_eq!(said("x.csv", text), "ok | csv 3: id int, text text");
    assert_eq!(said("x.csv", "id,text\n1,'a, b'\n2,'c'\n"), "ok | csv 2: id int, text text");
    assert_eq!(
        said("x.csv", "id,text\n1,\"a \\\"b\\\", c\"\n2,\"d\"\n"),
        "ok | csv 2: id int, text text"
    );
}

#[test]
fn a_quote_that_is_never_closed_costs_its_own_line_only() {
    let looked = look_at("x.csv", "id,text\n1,a\n2,\"b\n3,c\n4,d\n5,e\n");
    let table = &looked.tables[0];
    assert_eq!((table.rows, table.bad_rows.count), (Rows::Exactly(5), 1));
    assert_eq!(table.bad_rows.examples[0].0, 2);
}

#[test]
fn the_header_is_found_or_missed_by_what_the_rows_hold() {
    assert_eq!(said("x.csv", "1,2.5\n2,3.5\n"), "ok | csv 2: column_1 int, column_2 float");
    assert_eq!(said("x.csv", ",a,a\n0,1,2\n"), "ok | csv 1: column_1 int, a int, a_2 int");
    assert_eq!(
        said("x.csv", "Paris,France\nLyon,France\nBonn,Germany\n"),
        "ok | csv 3: column_1 text, column_2 text"
    );
    assert_eq!(
        said("x.csv", "city,country\nLyon,France\nBonn,Germany\n"),
        "ok | csv 2: city text, country text"
    );
    assert_eq!(
        said("x.csv", "country,2020,2021,2022\nFrance,1,2,3\n"),
        "ok | csv 1: country text, 2020 int, 2021 int, 2022 int"
    );
    assert_eq!(said("x.csv", "a,b,c\n"), "ok | csv 0: a text, b text, c text");
    assert_eq!(said("x.csv", "name\nAnna\nBen\n"), "ok | csv 2: name text");
}

#[test]
fn lines_before_a_table_are_passed_over() {
    let text = "# made by a program\n# on a day\nid,name\n1,a\n2,b\n";
    assert_eq!(said("x.csv", text), "ok | csv 2: id int, name text");
    assert_eq!(said("x.csv", "#id,name\n1,a\n2,b\n"), "ok | csv 2: id int, name text");
    assert_eq!(said("x.csv", "sep=;\nid;name\n1;a\n2;b\n"), "ok | csv 2: id int, name text");
    let text = "Report of sales\n\nid,name,n\n1,a,5\n2,b,6\n3,c,7\n4,d,8\n";
    assert_eq!(said("x.csv", text), "ok | csv 4: id int, name text, n int");
}

#[test]
fn rows_of_another_width_are_named() {
    let looked = look_at("x.csv", "a,b,c\n1,2,3\n1,2\n1,2,3\n1,2,3,4\n1,2,3\n1,2,3\n1,2,3\n");
    let table = &looked.tables[0];
    assert_eq!(looked.verdict, Verdict::Ok);
    assert_eq!(table.bad_rows.count, 2);
    let examples =
        [(2, "2 fields where the others have 3"), (4, "4 fields where the others have 3")];
    let found: Vec<(u64, &str)> =
        table.bad_rows.examples.iter().map(|(row, why)| (*row, why.as_str())).collect();
    assert_eq!(found, examples);
}

#[test]
fn encodings_are_found_by_their_bytes() {
    let text = "id,name\n1,Köln\n2,Besançon\n3,Málaga\n";
    let table = "ok | csv 3: id int, name text";
    let western: Vec<u8> = text.chars().map(|it| u32::from(it) as u8).collect();
    let wide = |swap: bool| -> Vec<u8> {
        let order = |it: u16| if swap { it.to_be_bytes() } else { it.to_le_bytes() };
        text.encode_utf16().flat_map(order).collect()
    };
    for (bytes, encoding) in [
        (text.as_bytes().to_vec(), "UTF-8"),
        ([b"\xef\xbb\xbf", text.as_bytes()].concat(), "UTF-8"),
        (western, "windows-1252"),
        (wide(false), "UTF-16LE"),
        (wide(true), "UTF-16BE"),
        ([&b"\xff\xfe"[..], &wide(false)].concat(), "UTF-16LE"),
    ] {
        assert_eq!(said("x.csv", &bytes), table, "{encoding}");
        let looked = look_at("x.csv", &bytes);
        let TableFormat::Csv(layout) = &looked.tables[0].format else { panic!("no CSV") };
        assert_eq!(layout.encoding, encoding);
        assert_eq!(looked.tables[0].columns[1].range.as_ref().unwrap().0, "Besançon");
    }
    for (encoding, name) in
        [(encoding_rs::SHIFT_JIS, "東京とひらがな"), (encoding_rs::EUC_KR, "서울특별시")]
    {
        let text = format!("id,name\n1,{name}\n2,{name}\n");
        let (bytes, _, _) = encoding.encode(&text);
        assert_eq!(said("x.csv", &bytes), "ok | csv 2: id int, name text");
        let looked = look_at("x.csv", &bytes);
        assert_eq!(looked.tables[0].columns[1].range.as_ref().unwrap().0, name);
    }
}

#[test]
fn text_in_two_encodings_is_mis_encoded() {
    let mut bytes = "id,name\n1,Köln\n2,München\n3,Málaga\n".as_bytes().to_vec();
    bytes.extend_from_slice(b"4,Besan\xe7on\n");
    let looked = look_at("x.csv", &bytes);
    let why = "UTF-8 but for 1 places, the first at byte 44".to_owned();
    assert_eq!(looked.verdict, Verdict::Misencoded(why));
    assert_eq!(looked.tables.len(), 1);
}

#[test]
fn json_of_all_shapes_is_a_table() {
    assert_eq!(said("x", r#"[{"a":1,"b":"x"},{"a":2.5}]"#), "ok | json 2: a float, b text");
    assert_eq!(said("x", "{\"a\":1}\n{\"a\":2,\"c\":{\"d\":1}}\n"), "ok | ndjson 2: a int, c json");
    assert_eq!(said("x", r#"{"count":2,"items":[{"a":1},{"a":2}]}"#), "ok | items json 2: a int");
    let nested = r#"{"meta":{"n":2},"data":{"rows":[{"a":true},{"a":null}]}}"#;
    assert_eq!(said("x", nested), "ok | data.rows json 2: a bool");
    let features = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","properties":{"mag":1.5,"at":5},"geometry":{"type":"Point"}}]}"#;
    let columns = "type text, mag float, at int, geometry json";
    assert_eq!(said("x", features), format!("ok | json 1: {columns}"));
    assert_eq!(said("x", r#"[["a","b"],[1,"x"],[2,"y"]]"#), "ok | json 2: a int, b text");
    assert_eq!(said("x", "[[1,\"x\"],[2,\"y\"]]"), "ok | json 2: column_1 int, column_2 text");
    assert_eq!(said("x", "[1,2,3]"), "ok | json 3: value int");
    assert_eq!(said("x", r#"{"u1":{"n":1},"u2":{"n":2}}"#), "ok | json 2: n int, key text");
    assert_eq!(said("x", r#"{"name":"one","n":1}"#), "ok | ndjson 1: name text, n int");
    assert_eq!(said("x", "[]"), "empty");
    assert_eq!(said("x", "{\"name\": \"one\",\n \"n\": 1}"), "ok | json 1: name text, n int");
    assert_eq!(said("x", r#"[{"a":"50% \"x\" \u00e9"}]"#), "ok | json 1: a text");
}

#[test]
fn bad_json_is_told_with_its_place() {
    let looked = look_at("x.json", "{\"a\":1}\n{\"a\":oops}\n{\"a\":3}\n");
    assert_eq!(looked.verdict, Verdict::Ok);
    assert_eq!(looked.tables[0].bad_rows.examples, [(2, "no JSON".to_owned())]);
    let looked = look_at("x.json", "{\"a\":1}\n{\"a\":[1\n{\"a\":3}\n{\"a\":4}\n");
    assert_eq!((looked.tables[0].rows, looked.tables[0].bad_rows.count), (Rows::Exactly(4), 1));
    assert_eq!(said("x.json", r#"[{"a":1},{"a":2},{"a"#), "truncated | json 2: a int");
    assert_eq!(said("x.json", r#"[{"a":1},{"a":2},]x"#), "corrupt");
    assert_eq!(said("x.json", r#"{"a": [1, 2"#), "truncated");
}

#[test]
fn files_without_a_table_say_what_they_are() {
    for (bytes, verdict) in [
        (&b""[..], Verdict::Empty),
        (b"\n \n", Verdict::Empty),
        (b"\0\0\0\0\0\0\0\0", Verdict::HalfUploaded("it holds nothing but zeros".to_owned())),
        (b"\x89PNG\r\n\x1a\n....", Verdict::Unknown("a picture (PNG)".to_owned())),
        (b"<html><body>", Verdict::Unknown("text in tags, as XML or HTML".to_owned())),
        (
            b"# A title\n\nSome words, and more words.\nA list:\n- one\n- two, three\n",
            Verdict::Unknown("text without columns".to_owned()),
        ),
        (
            b"| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
            Verdict::Unknown("text without columns".to_owned()),
        ),
        (
            b"[Sun Dec 04] [notice] one\n[Sun Dec 04] [error] two\n",
            Verdict::Unknown("text without columns".to_owned()),
        ),
        (b"PAR1....", Verdict::Truncated("it begins as Parquet and has no footer".to_owned())),
        (b"ORC.....", Verdict::Truncated("it begins as ORC and has no footer".to_owned())),
        (b"PK\x03\x04.....", Verdict::Truncated("an archive without its directory".to_owned())),
    ] {
        assert_eq!(look_at("x", bytes).verdict, verdict);
    }
}

#[test]
fn a_last_line_that_stops_early_was_cut_off() {
    let looked = look_at("x.csv", "a,b,c\n1,2,3\n4,5,6\n7,8,9\n10,1");
    assert_eq!(
        looked.verdict,
        Verdict::Truncated("its last line ends after 2 of 3 fields".to_owned())
    );
    assert_eq!(look_at("x.csv", "a,b,c\n1,2,3\n4,5,6").verdict, Verdict::Ok);
}

#[test]
fn large_files_are_estimated_by_their_beginning() {
    let mut text = "id,name\n".to_owned();
    for number in 0..200_000 {
        text += &format!("{number},name {number}\n");
    }
    let looked = look_at("x.csv", &text);
    let Rows::About(rows) = looked.tables[0].rows else { panic!("not read whole") };
    assert!((150_000..250_000).contains(&rows), "{rows}");
    assert_eq!(looked.verdict, Verdict::Ok);
    text += "200000";
    assert_eq!(look_at("x.csv", &text).verdict.word(), "truncated");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_what_is_in_them() {
    let text = b"id,name\n1,a\n2,b\n";
    let table = "ok | csv 2: id int, name text";
    assert_eq!(said("x.csv.gz", gzip(text)), table);
    assert_eq!(said("x.csv.zst", zstd::encode_all(&text[..], 1).unwrap()), table);
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut frame, text).unwrap();
    assert_eq!(said("x.csv.lz4", frame.finish().unwrap()), table);
    let packed = gzip(&text.repeat(50));
    let cut = &packed[..packed.len() - 12];
    assert_eq!(look_at("x.csv.gz", cut).verdict.word(), "truncated");
    let mut flipped = packed.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 0xff;
    assert_eq!(look_at("x.csv.gz", flipped).verdict.word(), "corrupt");
}

#[test]
fn a_bomb_is_not_inflated() {
    let bomb = gzip(&vec![b'1'; 200 << 20]);
    let looked = look_at("x.csv.gz", bomb);
    assert!(
        looked.tables.is_empty()
            || looked.verdict != Verdict::Ok
            || looked.tables[0].columns.len() == 1
    );
}

#[test]
fn no_part_and_no_flip_of_any_file_is_a_panic() {
    let mut seeds: Vec<Vec<u8>> = vec![
        b"id,name\n1,\"a\n2\",b\n".to_vec(),
        br#"{"a":[{"b":"\u00e9","c":[1,2]},{"b":null}]}"#.to_vec(),
        b"{\"a\":1}\n{\"b\":2}\n".to_vec(),
        gzip(b"id;name\n1;x\n"),
    ];
    seeds.extend(samples::all());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below.max(1) as u64).unwrap()
    };
    for seed in &seeds {
        for _ in 0..150 {
            let mut bytes = seed.clone();
            if next(2) == 0 {
                bytes.truncate(next(seed.len()));
            }
            for _ in 0..next(4) {
                let at = next(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(next(256)).unwrap();
                }
            }
            let _looked = look_at("x.csv", &bytes);
        }
    }
}

/// Small files of the formats that are not text, made by the libraries that write them.
pub(in crate::files) mod samples {
    use std::sync::Arc;

    use ::arrow::array::{Int64Array, RecordBatch, StringArray};
    use ::arrow::datatypes::{DataType, Field, Schema};

    pub(super) fn batch() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
        ]);
        let ids = Int64Array::from(vec![1, 2, 3]);
        let names = StringArray::from(vec![Some("a"), None, Some("c")]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(names)]).unwrap()
    }

    pub(super) fn parquet() -> Vec<u8> {
        let batch = batch();
        let mut bytes = Vec::new();
        let mut writer =
            ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    pub(super) fn orc() -> Vec<u8> {
        let batch = batch();
        let mut bytes = Vec::new();
        let mut writer =
            orc_rust::ArrowWriterBuilder::new(&mut bytes, batch.schema()).try_build().unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    pub(super) fn arrow_file() -> Vec<u8> {
        let batch = batch();
        let mut writer =
            ::arrow::ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    pub(super) fn arrow_stream() -> Vec<u8> {
        let batch = batch();
        let mut writer =
            ::arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    pub(super) fn avro() -> Vec<u8> {
        let batch = batch();
        let schema = batch.schema().as_ref().clone();
        let mut writer = arrow_avro::writer::AvroWriter::new(Vec::new(), schema).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner()
    }

    pub(in crate::files) fn all() -> Vec<Vec<u8>> {
        vec![parquet(), orc(), arrow_file(), arrow_stream(), avro()]
    }
}

#[test]
fn files_that_declare_their_types_are_believed() {
    for (format, bytes) in [
        ("parquet", samples::parquet()),
        ("orc", samples::orc()),
        ("arrow", samples::arrow_file()),
        ("arrow", samples::arrow_stream()),
        ("avro", samples::avro()),
    ] {
        assert_eq!(said("x", &bytes), format!("ok | {format} 3: id int, name text"));
        let looked = look_at("x", &bytes);
        assert!(looked.tables[0].columns.iter().all(|it| it.declared.is_some()));
        let short = &bytes[..bytes.len() - 9];
        let verdict = look_at("x", short).verdict;
        assert!(matches!(verdict, Verdict::Truncated(_)), "{format}: {verdict:?}");
        assert_eq!(said("x.gz", gzip(&bytes)), format!("ok | {format} 3: id int, name text"));
    }
    let column = &look_at("x", samples::parquet()).tables[0].columns[1];
    assert_eq!(Guess::of(column).evidence.nulls, 1);
    assert_eq!(column.declared, Some(ColumnType::Text));
}
