//! Files of every format, whole, cut off and with bytes flipped, through the door `files` of the
//! real program: each ends as rows that say so, and costs no other.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use datafusion::parquet::arrow::ArrowWriter;

use crate::program::{Program, is_slow_welcome};

/// Rows of each file.
const ROWS: i64 = 40;

const PROJECT: &str = r#"
[project]
name  = "files"
flush = "200 ms"

[bucket.landing]
from   = "landing"
every  = "200 milliseconds"
settle = "0 seconds"

[stream.goods]
from = [{ door = "files", bucket = "landing" }]

[stream.goods.columns]
id   = "int not null"
name = "text not null"
"#;

/// The rows of a file; `whose` stands in each, so that one tells where it came from.
fn names(whose: &str) -> Vec<(i64, String)> {
    (0..ROWS).map(|id| (id, format!("{whose} été {id}"))).collect()
}

fn batch(whose: &str) -> RecordBatch {
    let (ids, names): (Vec<i64>, Vec<String>) = names(whose).into_iter().unzip();
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    let names: ArrayRef = Arc::new(StringArray::from(names));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

fn csv(whose: &str) -> Vec<u8> {
    let rows = names(whose).into_iter().map(|(id, name)| format!("{id},\"{name}\"\n"));
    format!("id,name\n{}", rows.collect::<String>()).into_bytes()
}

fn lines(whose: &str) -> Vec<u8> {
    let rows = names(whose).into_iter();
    let rows = rows.map(|(id, name)| format!("{{\"id\":{id},\"name\":\"{name}\"}}\n"));
    rows.collect::<String>().into_bytes()
}

fn list(whose: &str) -> Vec<u8> {
    let lines = String::from_utf8(lines(whose)).unwrap();
    format!("[{}]", lines.trim_end().replace('\n', ",")).into_bytes()
}

fn parquet(whose: &str) -> Vec<u8> {
    let (batch, mut bytes) = (batch(whose), Vec::new());
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn avro(whose: &str) -> Vec<u8> {
    let batch = batch(whose);
    let schema = batch.schema().as_ref().clone();
    let mut writer = arrow_avro::writer::AvroWriter::new(Vec::new(), schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner()
}

fn orc(whose: &str) -> Vec<u8> {
    let (batch, mut bytes) = (batch(whose), Vec::new());
    let writer = orc_rust::ArrowWriterBuilder::new(&mut bytes, batch.schema());
    let mut writer = writer.try_build().unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn arrow_file(whose: &str) -> Vec<u8> {
    let batch = batch(whose);
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn arrow_stream(whose: &str) -> Vec<u8> {
    let batch = batch(whose);
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A workbook with one sheet, in an archive without compression.
fn xlsx(whose: &str) -> Vec<u8> {
    let mut sheet = String::from(
        "<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"><sheetData>",
    );
    let text = |it: &str| format!("<c t=\"inlineStr\"><is><t>{it}</t></is></c>");
    sheet.push_str(&format!("<row>{}{}</row>", text("id"), text("name")));
    for (id, name) in names(whose) {
        sheet.push_str(&format!("<row><c><v>{id}</v></c>{}</row>", text(&name)));
    }
    sheet.push_str("</sheetData></worksheet>");
    let package = "http://schemas.openxmlformats.org/package/2006";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let main = "application/vnd.openxmlformats-officedocument.spreadsheetml";
    let relation = |kind: &str, target: &str| {
        format!(
            "<Relationships xmlns=\"{package}/relationships\"><Relationship Id=\"rId1\" \
             Type=\"{office}/{kind}\" Target=\"{target}\"/></Relationships>"
        )
    };
    let files = [
        (
            "[Content_Types].xml",
            format!(
                "<Types xmlns=\"{package}/content-types\"><Default Extension=\"rels\" \
                 ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
                 <Override PartName=\"/xl/workbook.xml\" ContentType=\"{main}.sheet.main+xml\"/>\
                 <Override PartName=\"/xl/worksheets/sheet1.xml\" \
                 ContentType=\"{main}.worksheet+xml\"/></Types>"
            ),
        ),
        ("_rels/.rels", relation("officeDocument", "xl/workbook.xml")),
        (
            "xl/workbook.xml",
            format!(
                "<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
                 xmlns:r=\"{office}\"><sheets><sheet name=\"Goods\" sheetId=\"1\" r:id=\"rId1\"/>\
                 </sheets></workbook>"
            ),
        ),
        ("xl/_rels/workbook.xml.rels", relation("worksheet", "worksheets/sheet1.xml")),
        ("xl/worksheets/sheet1.xml", sheet),
    ];
    archive(&files)
}

/// A ZIP archive whose files lie in it as they are.
fn archive(files: &[(&str, String)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut sum = flate2::Crc::new();
        sum.update(text.as_bytes());
        let (size, at) = (u32::try_from(text.len()).unwrap(), u32::try_from(bytes.len()).unwrap());
        // Version, flags, method, time, day, sum, sizes, length of the name, of more.
        let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        about.extend(sum.sum().to_le_bytes());
        about.extend([size.to_le_bytes(), size.to_le_bytes()].concat());
        about.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        about.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&about);
        bytes.extend(name.as_bytes());
        bytes.extend(text.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, at) = (u16::try_from(files.len()).unwrap(), u32::try_from(bytes.len()).unwrap());
    let size = u32::try_from(directory.len()).unwrap();
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend([size.to_le_bytes(), at.to_le_bytes()].concat());
    bytes.extend([0, 0]);
    bytes
}

type Make = fn(&str) -> Vec<u8>;

/// Formats by their endings, and whether a part of a file can never look whole.
const FORMATS: &[(&str, Make, bool)] = &[
    ("csv", csv, false),
    ("ndjson", lines, false),
    ("json", list, true),
    ("parquet", parquet, true),
    ("avro", avro, false),
    ("orc", orc, true),
    ("arrow", arrow_file, true),
    ("arrows", arrow_stream, false),
    ("xlsx", xlsx, true),
    ("csv.gz", |whose| gzip(&csv(whose)), true),
    ("csv.zst", |whose| zstd::encode_all(csv(whose).as_slice(), 3).unwrap(), true),
    ("ndjson.gz", |whose| gzip(&lines(whose)), true),
    ("parquet.zst", |whose| zstd::encode_all(parquet(whose).as_slice(), 3).unwrap(), true),
];

/// What becomes of a good file.
enum Harm {
    Cut(usize),
    Flip(usize),
}

/// The broken files by their names: what each is, and what must be told of it.
fn broken() -> Vec<(String, Vec<u8>, bool)> {
    let steps = if is_slow_welcome() { 60 } else { 7 };
    let mut files = Vec::new();
    for (ending, make, is_told) in FORMATS {
        let harms = (0..steps).map(Harm::Cut).chain((0..steps).map(Harm::Flip));
        for harm in harms {
            let (what, step) = match harm {
                Harm::Cut(step) => ("cut", step),
                Harm::Flip(step) => ("flip", step),
            };
            let name = format!("{}-{what}-{step}", ending.replace('.', "_"));
            let mut bytes = make(&format!("bad {name}"));
            // The last byte too, but never none of them.
            let at = (bytes.len() - 1) * step / (steps - 1);
            match harm {
                Harm::Cut(_) => bytes.truncate(at),
                Harm::Flip(_) => bytes[at] ^= 1 << (step % 8),
            }
            files.push((
                format!("{name}.{ending}"),
                bytes,
                matches!(harm, Harm::Cut(_)) && *is_told,
            ));
        }
    }
    for (ending, make) in [("csv", csv as Make), ("ndjson", lines), ("json", list)] {
        // One place in another encoding than all others, and a file of zeros that was not filled.
        let mut mixed = make(&format!("bad mixed_{ending}"));
        let at = mixed.windows(2).rposition(|it| it == "é".as_bytes()).unwrap();
        mixed.splice(at..at + 2, [0xe9]);
        files.push((format!("mixed_{ending}.{ending}"), mixed, false));
        let zeros = vec![0; make("bad zeros").len()];
        files.push((format!("zeros.{ending}"), zeros, true));
    }
    let wide = String::from_utf8(csv("bad odd")).unwrap();
    let mut wide: Vec<u8> = wide.encode_utf16().flat_map(u16::to_le_bytes).collect();
    wide.pop();
    files.push(("odd.csv".to_owned(), wide, false));
    files.push(("words.parquet".to_owned(), b"PAR1 is all that is right in it".to_vec(), true));
    files
}

/// Writes a file as one that lands: hidden, then whole.
fn land(landing: &Path, name: &str, bytes: &[u8]) {
    let hidden = landing.join(format!(".{name}"));
    std::fs::write(&hidden, bytes).unwrap();
    std::fs::rename(hidden, landing.join(name)).unwrap();
}

/// How many rows the stream has of each file, by the words that its names begin with.
async fn rows_by(program: &Program, what: &str) -> BTreeMap<String, i64> {
    let sql = format!(
        "SELECT split_part(name, ' ', 2) AS of, count(DISTINCT id), count(*) FROM goods \
         WHERE name LIKE '{what} %' GROUP BY split_part(name, ' ', 2)"
    );
    let rows = program.sql(&sql).await;
    let of = |row: &Vec<serde_json::Value>| {
        let (distinct, all) = (row[1].as_i64().unwrap(), row[2].as_i64().unwrap());
        let name = row[0].as_str().unwrap().to_owned();
        assert!(what == "bad" || distinct == all, "{name}: {distinct} of {all}");
        (name, all)
    };
    rows.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_file_says_so_and_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    let landing = project.join("landing");
    std::fs::create_dir_all(&landing).unwrap();
    std::fs::write(project.join("mainstem.toml"), PROJECT).unwrap();
    let broken = broken();
    let mut good = Vec::new();
    for (at, (name, bytes, _)) in broken.iter().enumerate() {
        land(&landing, name, bytes);
        let (ending, make, _) = FORMATS[at % FORMATS.len()];
        if at % 5 == 0 {
            let whose = format!("{}-{at}", ending.replace('.', "_"));
            land(&landing, &format!("good-{whose}.{ending}"), &make(&format!("good {whose}")));
            good.push(whose);
        }
    }
    std::fs::write(landing.join("half.csv.part"), csv("bad half")).unwrap();
    let program = Program::start(&project, &folder.path().join("data"));
    let ended = "SELECT count(*) FROM landing_events WHERE event IN ('read', 'failed')";
    let all = (broken.len() + good.len()) as u64;
    for _ in 0..900 {
        if program.count(ended).await == all {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(program.count(ended).await, all, "each file ends once");
    program.settle("goods").await;

    // No neighbour lost a row, and none was doubled.
    let found = rows_by(&program, "good").await;
    for whose in &good {
        assert_eq!(found.get(whose), Some(&ROWS), "{whose} is whole");
    }
    let told = program.sql("SELECT key, event, records, message FROM landing_events").await;
    let told: BTreeMap<&str, (&str, i64, &str)> = told
        .iter()
        .filter(|it| it[1] == "read" || it[1] == "failed")
        .map(|it| {
            let records = it[2].as_i64().unwrap_or(0);
            let message = it[3].as_str().unwrap_or_default();
            (it[0].as_str().unwrap(), (it[1].as_str().unwrap(), records, message))
        })
        .collect();
    let rows = rows_by(&program, "bad").await;
    let (mut silent, mut rejected) = (Vec::new(), 0);
    for (name, bytes, is_told) in &broken {
        let (event, records, message) = told[name.as_str()];
        let whose = name.split('.').next().unwrap();
        let rows = rows.get(whose).copied().unwrap_or(0);
        // A flip may lie in the words that tell whose a row is.
        let is_sure = !whose.contains("-flip-");
        assert!(rows <= ROWS || !is_sure, "{name}: {rows} rows");
        assert_eq!(event == "failed", !message.is_empty(), "{name}: {event} {message}");
        if event == "read" && *is_told {
            silent.push(format!("{name} ({} bytes): {records} records, {rows} rows", bytes.len()));
        }
        if event == "read" && is_sure {
            assert!(rows <= records, "{name}: {rows} rows of {records} records");
            rejected += u64::try_from(records - rows).unwrap();
        }
    }
    assert!(silent.is_empty(), "nothing tells that these are broken: {silent:#?}");
    // What is no row is a dead letter.
    let dead = program.count("SELECT count(*) FROM goods__dead").await;
    assert!(rejected <= dead, "{rejected} records are no rows, {dead} are dead letters");
    assert!(!told.contains_key("half.csv.part"), "an upload under way waits");
    program.stop();
}
