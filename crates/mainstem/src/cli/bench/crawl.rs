//! Measures the crawler: a folder of mixed files, from the first listing to the tables.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use base::time::SystemClock;
use store::crawl::{Place, Settings};

use super::{Ctx, Figure};

/// Files of each kind: a thousand in all.
const FILES_A_KIND: usize = 125;

/// Rows of each file.
const ROWS: usize = 300;

/// Crawls a thousand mixed files on one thread, beside reading the same bytes.
pub(crate) fn mixed(ctx: &Ctx) -> anyhow::Result<Vec<Figure>> {
    let folder = ctx.folder.join("crawl");
    let bytes = write_mixed(&folder)?;
    let clock = SystemClock::start();
    let place =
        Place::new(&folder.to_string_lossy(), Vec::new(), tokio::runtime::Handle::current())?;
    let settings = Settings { threads: 1, ..Settings::default() };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let begin = clock.elapsed();
        let found = store::crawl::crawl(&place, &settings, &|_| ())?;
        ours.push((clock.elapsed() - begin).as_secs_f64());
        let broken = found.files.iter().filter(|it| it.tables.is_empty()).count();
        ensure!(found.tables.len() == 7, "{} tables found and not 7", found.tables.len());
        ensure!(broken == FILES_A_KIND, "{broken} files without a table");
        let begin = clock.elapsed();
        for file in &found.files {
            std::hint::black_box(fs::read(folder.join(&file.path))?);
        }
        bare.push((clock.elapsed() - begin).as_secs_f64());
    }
    let files = (FILES_A_KIND * 8) as f64;
    Ok(vec![Figure {
        what: "crawl of 1,000 mixed files, one thread".to_owned(),
        ours: files / super::median(&mut ours),
        limit: Some(("reading them".to_owned(), files / super::median(&mut bare))),
        unit: "files/s",
        goal: "1,000 files in 1 s per core",
        note: format!(
            "CSV, gzip, JSON, lines, Parquet, pictures; {ROWS} rows each, {} in all",
            base::ByteSize(bytes)
        ),
    }])
}

/// Writes the files and returns their bytes.
fn write_mixed(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for number in 0..FILES_A_KIND {
        let mut commas = String::from("id,at,city,price,note\n");
        let mut semicolons = String::from("id;menge;ort\n");
        let mut lines = String::new();
        let mut items = Vec::new();
        for row in 0..ROWS {
            let id = number * ROWS + row;
            let price = id as f64 / 4.0;
            writeln!(commas, "{id},2024-01-05T10:{:02}:00Z,Lyon,{price:.2},\"a, b\"", row % 60)?;
            writeln!(semicolons, "{id};{},{};Köln", row, row % 10)?;
            writeln!(lines, "{{\"id\":{id},\"user\":\"u{row}\",\"ok\":true,\"tags\":[1,2]}}")?;
            items.push(format!("{{\"id\":{id},\"price\":{price}}}"));
        }
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(commas.as_bytes())?;
        let tabs = commas.replace("\"a, b\"", "x").replace(',', "\t").replace("note", "remark");
        let items = format!("{{\"data\":[{}]}}", items.join(","));
        for (path, content) in [
            (format!("orders/orders_{number:04}.csv"), commas.into_bytes()),
            (format!("packed/day={number}/orders.csv.gz"), packed.finish()?),
            (format!("mengen/mengen-{number}.csv"), semicolons.into_bytes()),
            (format!("tabs/{number}.tsv"), tabs.into_bytes()),
            (format!("events/2024/01/{number:02}/events.ndjson"), lines.into_bytes()),
            (format!("items/items{number}.json"), items.into_bytes()),
            (format!("measures/part-{number:05}.parquet"), parquet(number)?),
            (format!("pictures/{number}.png"), b"\x89PNG\r\n\x1a\n0123456789".to_vec()),
        ] {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            bytes += content.len() as u64;
            fs::write(path, content)?;
        }
    }
    Ok(bytes)
}

fn parquet(number: usize) -> anyhow::Result<Vec<u8>> {
    let ids: Int64Array = (0..ROWS).map(|it| i64::try_from(it + number).ok()).collect();
    let values: Float64Array = (0..ROWS).map(|it| Some(it as f64)).collect();
    let names: StringArray = (0..ROWS).map(|it| Some(format!("name {it}"))).collect();
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as arrow::array::ArrayRef),
        ("value", Arc::new(values)),
        ("name", Arc::new(names)),
    ])?;
    let mut bytes = Vec::new();
    let mut writer =
        datafusion::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}
