use std::io::Write;

use ::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use ::arrow::datatypes::{DataType, Field as ArrowField, Schema};
use base::Name;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use spec::load_texts;

use super::*;

/// A stream with these columns.
fn stream(format: &str, columns: &str) -> Stream {
    let text = format!("[stream.s]\nformat = \"{format}\"\n[stream.s.columns]\n{columns}\n");
    let project = load_texts(&[("mainstem.toml", &text)], None, &|_| None).unwrap();
    project.streams[&Name::new("s").unwrap()].clone()
}

fn usual() -> Stream {
    stream("json", "id = \"int\"\nname = \"text\"\nprice = \"decimal(10,2)\"\nextra = \"json\"")
}

/// All records of a file, and what was wrong with it.
fn read(bytes: &[u8], name: &str, stream: &Stream) -> (Vec<String>, Option<String>) {
    read_dates(bytes, name, stream, None)
}

fn read_dates(
    bytes: &[u8],
    name: &str,
    stream: &Stream,
    dates: Option<DateOrder>,
) -> (Vec<String>, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let mut file = match Records::open(&path, name, stream, dates) {
        Ok(file) => file,
        Err(why) => return (Vec::new(), Some(why)),
    };
    let mut all = Vec::new();
    loop {
        let mut some = Vec::new();
        match file.next(&mut some) {
            Err(why) => return (all, Some(why)),
            Ok(()) if some.is_empty() => return (all, None),
            Ok(()) => all.extend(some.iter().map(|it| String::from_utf8_lossy(it).into_owned())),
        }
    }
}

fn values(bytes: &[u8], name: &str, stream: &Stream) -> Vec<Value> {
    let (records, fault) = read(bytes, name, stream);
    assert_eq!(fault, None, "{records:?}");
    records.iter().map(|it| serde_json::from_str(it).unwrap_or_else(|_| json!(it))).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn values_between_delimiters_become_objects_with_the_columns_of_the_stream() {
    let expected = [
        "{\"id\":1,\"name\":\"a;b\",\"price\":2.50}",
        "{\"id\":2,\"name\":null,\"price\":3.00}",
        // What does not fit stays as it is, for the stream to say why.
        "{\"id\":\"3\",\"price\":\"x\"}",
    ];
    let records = |bytes: &[u8], name: &str| {
        let (records, fault) = read(bytes, name, &usual());
        assert_eq!(fault, None);
        records
    };
    let text = "ID;Na me;PRICE\r\n1;\"a;b\";2.50\r\n2;\"\";3\r\n3;;x\r\n";
    assert_eq!(records(text.as_bytes(), "x.csv"), expected);
    assert_eq!(records(&gzip(text.as_bytes()), "x.csv.gz"), expected);
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    assert_eq!(records(&packed, "x.csv.zst"), expected);
    let utf_16: Vec<u8> = "\u{feff}"
        .chars()
        .chain(text.chars())
        .collect::<String>()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(records(&utf_16, "x.csv"), expected);
    let west = b"id,name\n1,caf\xe9\n2,gar\xe7on\n3,na\xefve\n";
    assert_eq!(values(west, "x.csv", &usual())[1], json!({"id": 2, "name": "garçon"}));
}

#[test]
fn a_row_that_is_none_stays_as_it_is_and_costs_no_other() {
    let usual_rows: String = (10..30).map(|it| format!("{it},a,1\n")).collect();
    let text = format!("id,name,price\n1,a,1\n{usual_rows}2,b\n3,c,3,4\n4,\"d,4\n5,e,5\n");
    let (records, fault) = read(text.as_bytes(), "x.csv", &usual());
    let raw: Vec<&str> =
        records.iter().map(String::as_str).filter(|it| !it.starts_with('{')).collect();
    assert!(raw.contains(&"2,b") && raw.contains(&"3,c,3,4"), "{records:?} {fault:?}");
    assert!(records[0].starts_with("{\"id\":1"), "{records:?}");
    assert!(records.iter().any(|it| it.contains("\"id\":5")), "{records:?}");
}

#[test]
fn lines_for_a_stream_of_csv_are_in_the_order_of_its_columns() {
    let stream = stream("csv", "id = \"int\"\nname = \"text\"\nprice = \"float\"");
    let text = "price\tother\tid\tname\n1.5\tx\t1\t\"say \"\"hi\"\", now\"\n2\t\t2\tplain\n3\ty\t3\tmore\n";
    let (records, fault) = read(text.as_bytes(), "x.tsv", &stream);
    assert_eq!(fault, None);
    assert_eq!(records, ["1,\"say \"\"hi\"\", now\",1.5", "2,plain,2.0", "3,more,3.0"]);
    let (_, fault) = read(b"{\"id\":1}\n{\"id\":2}\n", "x.ndjson", &stream);
    assert!(fault.unwrap().contains("whose format is csv"));
}

#[test]
fn json_of_every_shape_becomes_objects() {
    let stream = usual();
    let rows = [json!({"id": 1, "name": "a"}), json!({"id": 2, "name": "b}]"})];
    let cases: &[(&str, &[Value])] = &[
        ("{\"id\":1,\"name\":\"a\"}\n\n{\"id\":2,\"name\":\"b}]\"}", &rows),
        ("[ {\"id\":1,\"name\":\"a\"},\n {\"id\":2,\"name\":\"b}]\"} ]\n", &rows),
        (
            "{\"meta\":{\"n\":2},\"items\":[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b}]\"}],\"x\":1}",
            &rows,
        ),
        ("[[\"id\",\"name\"],[1,\"a\"],[2,\"b}]\"]]", &rows),
        ("{\"x\":{\"id\":1},\"y\":{\"id\":2}}", &[json!({"id": 1}), json!({"id": 2})]),
    ];
    for (text, expected) in cases {
        assert_eq!(values(text.as_bytes(), "x.json", &stream), *expected, "{text}");
    }
    let (records, _) = read(b"{\"id\":1}\n{broken\n{\"id\":3}\n", "x.ndjson", &stream);
    assert_eq!(records, ["{\"id\":1}", "{\"id\":3}", "{broken"]);
}

fn batch() -> RecordBatch {
    let schema = Schema::new(vec![
        ArrowField::new("id", DataType::Int32, false),
        ArrowField::new("name", DataType::Utf8, true),
    ]);
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..3_000));
    let names = (0..3_000).map(|it| (it % 7 != 0).then(|| format!("n{it}")));
    let names: ArrayRef = Arc::new(StringArray::from_iter(names));
    RecordBatch::try_new(Arc::new(schema), vec![ids, names]).unwrap()
}

fn typed() -> Vec<(&'static str, Vec<u8>)> {
    let batch = batch();
    let mut parquet = Vec::new();
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut file = Vec::new();
    let mut writer = ::arrow::ipc::writer::FileWriter::try_new(&mut file, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let mut stream = Vec::new();
    let mut writer =
        ::arrow::ipc::writer::StreamWriter::try_new(&mut stream, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let mut avro = Vec::new();
    let mut writer =
        arrow_avro::writer::AvroWriter::new(&mut avro, batch.schema().as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    vec![("x.parquet", parquet), ("x.arrow", file), ("x.arrows", stream), ("x.avro", avro)]
}

#[test]
fn formats_that_know_their_types_are_read_whole() {
    for (name, bytes) in typed() {
        let found = values(&bytes, name, &usual());
        assert_eq!(found.len(), 3_000, "{name}");
        assert_eq!(found[8], json!({"id": 8, "name": "n8"}), "{name}");
        assert_eq!(found[7]["name"], Value::Null, "{name}");
    }
}

/// Values with all that may confuse: line ends, quotes, delimiters, signs of several bytes, over
/// many windows; then the same as JSON.
#[test]
fn what_reaches_over_windows_is_whole() {
    let random = fastrand_like();
    let mut rows = Vec::new();
    let mut size = 0;
    let mut state = random;
    while size < 900_000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let parts =
            ["plain", "a,b", "say \"x\"", "line\nend", "été ☃", "\r\n", "  space ", "{[", "]}"];
        let count = 1 + (state >> 33) % 40;
        let name: String =
            (0..count).map(|it| parts[((state >> (it % 40)) % 9) as usize]).collect();
        size += name.len() + 10;
        rows.push(name);
    }
    let mut text = "id,name\n".to_owned();
    let mut lines = String::new();
    let mut list = "[".to_owned();
    for (id, name) in rows.iter().enumerate() {
        text.push_str(&format!("{id},\"{}\"\n", name.replace('"', "\"\"")));
        let object = json!({"id": id, "name": name}).to_string();
        lines.push_str(&object);
        lines.push('\n');
        list.push_str(if id == 0 { "" } else { ",\n" });
        list.push_str(&object);
    }
    list.push(']');
    for (bytes, name) in [(text, "x.csv"), (lines, "x.ndjson"), (list, "x.json")] {
        let found = values(bytes.as_bytes(), name, &usual());
        assert_eq!(found.len(), rows.len(), "{name}");
        for (id, (found, row)) in found.iter().zip(&rows).enumerate() {
            assert_eq!(found, &json!({"id": id, "name": row}), "{name}");
        }
    }
}

fn fastrand_like() -> u64 {
    0x9e37_79b9_7f4a_7c15
}

/// Whatever is cut off or flipped: no panic, an end, and what was whole before it is there.
#[test]
fn a_file_that_is_cut_or_damaged_ends_with_a_word() {
    let csv: String = (0..400).map(|it| format!("{it},name {it},{it}.5\n")).collect();
    let csv = format!("id,name,price\n{csv}");
    let lines: String =
        (0..400).map(|it| format!("{{\"id\":{it},\"name\":\"n{it}\"}}\n")).collect();
    let list = format!("[{}]", lines.trim_end().replace('\n', ","));
    let mut files = typed();
    files.push(("x.csv.gz", gzip(csv.as_bytes())));
    files.push(("x.csv", csv.into_bytes()));
    files.push(("x.ndjson", lines.into_bytes()));
    files.push(("x.json", list.into_bytes()));
    let stream = usual();
    for (name, bytes) in &files {
        let (whole, fault) = read(bytes, name, &stream);
        assert_eq!(fault, None, "{name}");
        let steps = if std::env::var_os("SLOW").is_some() { 400 } else { 40 };
        for step in 0..steps {
            let cut = bytes.len() * step / steps;
            let (some, fault) = read(&bytes[..cut], name, &stream);
            let others = some.iter().filter(|it| !whole.contains(it)).count();
            assert!(others <= 1, "{name} cut at {cut}: {others} of {}", some.len());
            assert!(fault.is_some() || !name.starts_with("x.parquet"), "{name} cut at {cut}");
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1 << (step % 8);
            let _any_outcome_but_a_panic = read(&flipped, name, &stream);
        }
    }
}

#[test]
fn what_folders_say_is_a_column_where_the_file_has_none() {
    let stream = stream("json", "day = \"date\"\nid = \"int\"\nregion = \"text\"");
    let found = values(b"id,region\n1,fr\n", "sales/Day=2024-03-01/region=de/a.csv", &stream);
    assert_eq!(found, [json!({"day": "2024-03-01", "id": 1, "region": "fr"})]);
    let found =
        values(b"id\n1\n", "sales/region=a%2Fb/day=__HIVE_DEFAULT_PARTITION__/a.csv", &stream);
    assert_eq!(found, [json!({"id": 1, "region": "a/b"})]);
    let stream = self::stream("csv", "id = \"int\"\nday = \"date\"");
    let (records, fault) = read(b"id\n7\n", "day=2024-03-01/a.csv", &stream);
    assert_eq!((records, fault), (vec!["7,2024-03-01".to_owned()], None));
}

#[test]
fn what_is_said_of_dates_decides_where_a_file_does_not() {
    let stream = stream("json", "id = \"int\"\nday = \"date\"\nat = \"timestamp\"");
    let read = |text: &str, dates| {
        let (records, fault) = read_dates(text.as_bytes(), "x.csv", &stream, dates);
        assert_eq!(fault, None);
        records.join(" ")
    };
    let open = "id,day,at\n1,01/04/2024,02/03/2024 10:00\n2,02/04/2024,03/03/2024 11:00\n";
    let first = |day: &str, at: &str| format!("{{\"id\":1,\"day\":\"{day}\",\"at\":\"{at}");
    let american = first("2024-01-04", "2024-02-03T10:00:00");
    let european = first("2024-04-01", "2024-03-02T10:00:00");
    assert!(read(open, None).starts_with(&american), "{}", read(open, None));
    assert!(read(open, Some(DateOrder::MonthFirst)).starts_with(&american));
    assert!(read(open, Some(DateOrder::DayFirst)).starts_with(&european));
    // Points are days first unless it is said.
    let points = open.replace('/', ".");
    assert!(read(&points, None).starts_with(&european), "{}", read(&points, None));
    assert!(read(&points, Some(DateOrder::MonthFirst)).starts_with(&american));
    // What cannot be is told, and costs no other, however many there are.
    let mixed = "id,day\n1,01/04/2024\n2,04/13/2024\n3,04/14/2024\n4,2024-05-06\n";
    let found = read(mixed, Some(DateOrder::DayFirst));
    assert!(found.contains("{\"id\":1,\"day\":\"2024-04-01\"}"), "{found}");
    assert!(found.contains("04/13/2024") && found.contains("04/14/2024"), "{found}");
    let american = mixed.replace("4,2024-05-06\n", "");
    assert!(read(&american, None).contains("2024-04-13"), "{}", read(&american, None));
}

const PLACE: base::Place =
    base::Place { shard: base::ShardId(0), sequence: base::SequenceNumber(0) };

fn raw(bytes: &[u8], name: &str, stream: &Stream) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let mut file = Records::open(&path, name, stream, None).unwrap();
    let mut all = Vec::new();
    loop {
        let mut some = Vec::new();
        file.next(&mut some).unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[test]
fn lines_that_the_stream_reads_as_they_stand_are_taken_byte_by_byte() {
    let lines = [
        "{\"id\": 1, \"name\":\"a\", \"more\": [1]}",
        "{\"price\":2.50,\"id\":2}",
        "{\"id\":\"x\"}",
        "{\"id\":3}, what?",
    ];
    let text = format!("\u{feff}{}\r\n\n{}\n{}\n{}", lines[0], lines[1], lines[2], lines[3]);
    let begin = format!("{}\n{}\n{}\n", lines[0], lines[1], lines[2]);
    assert_eq!(read(begin.as_bytes(), "x.jsonl", &usual()).0, &lines[..3]);
    // The last line is no object: all are read value by value, and it stays as it is.
    assert_eq!(read(text.as_bytes(), "x.jsonl", &usual()).0.len(), 4);
    let mut bytes = begin.clone().into_bytes();
    bytes.extend(b"{\"id\":4,\"name\":\"\xff\"}\n");
    let records = raw(&bytes, "x.jsonl", &usual());
    assert_eq!(
        records.last().unwrap().as_slice(),
        b"{\"id\":4,\"name\":\"\xff\"}",
        "no sign is replaced"
    );
    // Values of several lines, and names that are only alike, are read one by one.
    let values =
        read(b"{\"id\":1,\n\"name\":\"a\"}\n{\"id\":2,\n\"name\":\"b\"}\n", "x.jsonl", &usual());
    assert_eq!(values.0.len(), 2, "{values:?}");
    let alike = read(b"{\"ID\":1}\n{\"ID\":2}\n", "x.jsonl", &usual());
    assert_eq!(alike.0, ["{\"id\":1}", "{\"id\":2}"]);
}

#[test]
fn a_quote_that_is_never_closed_costs_its_own_line() {
    let stream = stream("csv", "id = \"int\"\nname = \"text\"");
    let mut text = "id,name\n1,\"a\nb\"\n2,5\" pipe\n3,\"open\n".to_owned();
    for id in 4..200_000 {
        text += &format!("{id},x\n");
    }
    let records = read(text.as_bytes(), "x.csv", &stream).0;
    assert_eq!(records[..4], ["1,\"a\nb\"", "2,5\" pipe", "3,\"open", "4,x"]);
    assert_eq!(records.len(), 3 + 200_000 - 4);
    let short = read(b"id,name\n1,a\n2,\"open\n3,c\n4,d", "x.csv", &stream).0;
    assert_eq!(short.last().map(String::as_str), Some("4,d"), "{short:?}");
}

proptest::proptest! {
    #[test]
    fn lines_of_csv_are_cut_where_their_rows_end(
        rows in proptest::collection::vec(proptest::collection::vec("[a,\"\n ]{0,6}", 2..3), 1..40),
        quoted in proptest::collection::vec(proptest::bool::ANY, 7),
    ) {
        let stream = stream("csv", "first = \"text\"\nsecond = \"text\"");
        let mut text = "first,second\n\"plain\",\"plain\"\n".to_owned();
        for (row, fields) in rows.iter().enumerate() {
            let fields = fields.iter().enumerate().map(|(place, field)| {
                let needs = field.is_empty() || field.contains(['"', ',', '\n', ' ']);
                if needs || quoted[(row + place) % quoted.len()] {
                    format!("\"{}\"", field.replace('"', "\"\""))
                } else {
                    field.clone()
                }
            });
            text += &fields.collect::<Vec<_>>().join(",");
            text += if row % 3 == 0 { "\r\n" } else { "\n" };
        }
        let records = raw(text.as_bytes(), "x.csv", &stream);
        let mut decoder = crate::Decoder::new(&stream);
        for record in &records {
            decoder.push(record, PLACE, 0);
        }
        let decoded = decoder.finish();
        proptest::prop_assert_eq!(decoded.rejects.num_rows(), 0);
        let column = |place: usize| {
            let column = ::arrow::array::AsArray::as_string_view(decoded.rows.column(place)).clone();
            column.iter().skip(1).map(|it| it.unwrap_or("NULL").to_owned()).collect::<Vec<_>>()
        };
        for place in 0..2 {
            let wanted: Vec<String> = rows.iter().map(|it| it[place].clone()).collect();
            proptest::prop_assert_eq!(column(place), wanted);
        }
    }
}
