//! Files that land in a bucket become rows, each version once: the real program, real files, kills.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::program::{Program, copied, data, printed};

/// The days of the shop, in order.
fn days() -> Option<Vec<(String, Vec<u8>)>> {
    let archive = data("retail/online_retail_by_day.tar.zst")?;
    let bytes = zstd::decode_all(std::fs::File::open(archive).unwrap()).unwrap();
    let mut days = Vec::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if path.extension().is_some_and(|it| it == "csv") {
            let mut day = Vec::new();
            std::io::copy(&mut entry, &mut day).unwrap();
            days.push((path.file_name().unwrap().to_string_lossy().into_owned(), day));
        }
    }
    days.sort();
    Some(days)
}

const READ: &str = "SELECT count(*) FROM loaded_files WHERE event = 'read'";

#[tokio::test(flavor = "multi_thread")]
async fn the_retail_days_land_one_by_one_through_kills_and_give_the_published_facts() {
    let Some(days) = days() else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = copied("csv-warehouse", folder.path());
    let (landing, own) = (project.join("landing"), folder.path().join("data"));
    let mut landed = 0;
    for (round, some) in days.chunks(days.len().div_ceil(4)).enumerate() {
        let program = Program::start(&project, &own);
        for (at, (name, bytes)) in some.iter().enumerate() {
            let below = landing.join(name.get(..4).unwrap());
            std::fs::create_dir_all(&below).unwrap();
            // Some are packed, some copied in place, some renamed when they are whole.
            if at % 3 == 0 {
                let file = std::fs::File::create(below.join(format!("{name}.gz"))).unwrap();
                let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
                packed.write_all(bytes).unwrap();
                packed.finish().unwrap();
            } else if at % 3 == 1 {
                std::fs::write(below.join(name), bytes).unwrap();
            } else {
                let part = below.join(format!("{name}.part"));
                std::fs::write(&part, bytes).unwrap();
                std::fs::rename(part, below.join(name)).unwrap();
            }
            landed += 1;
        }
        if round == 3 {
            program.until(READ, landed).await;
            facts(&program, landed).await;
            program.stop();
        } else {
            tokio::time::sleep(Duration::from_millis(3_500 + 400 * round as u64)).await;
            program.kill();
        }
    }
    let program = Program::start(&project, &own);
    facts(&program, landed).await;
    broken(&program, &landing).await;
    program.stop();
}

async fn facts(program: &Program, files: u64) {
    let settled = program.settle("sales").await;
    assert_eq!((settled.received, settled.dead), (245_903, 1_478), "rows with a price of 0");
    assert_eq!(program.count("SELECT count(*) FROM lines").await, 244_425);
    assert_eq!(program.count("SELECT count(*) FROM lines WHERE cancelled").await, 4_494);
    let revenue = "SELECT CAST(round(sum(revenue), 2) AS TEXT) FROM lines";
    assert_eq!(program.value(revenue).await, "4397950.76");
    let revenue = "SELECT CAST(round(sum(revenue), 2) AS TEXT) FROM revenue_by_day";
    assert_eq!(program.value(revenue).await, "4397950.76");
    assert_eq!(program.count("SELECT count(*) FROM landing_objects").await, files);
    assert_eq!(program.count("SELECT sum(records) FROM loaded_files").await, 245_903);
    let once = "SELECT count(*) FROM landing_events WHERE event = 'created'";
    assert_eq!(program.count(once).await, files, "each object is told of once");
    // The same files, asked as they lie there.
    assert_eq!(program.count("SELECT count(*) FROM landing.\"**\"").await, 245_903);
    let revenue = "SELECT CAST(round(sum(quantity * unit_price), 2) AS TEXT) FROM landing.\"**\"";
    assert_eq!(program.value(revenue).await, "4397950.76");
    let cancelled = "SELECT count(*) FROM landing.\"2011/**\" WHERE invoice_no LIKE 'C%' \
        AND invoice_date < TIMESTAMP '2011-02-01'";
    let loaded = "SELECT count(*) FROM lines WHERE cancelled \
        AND invoice_date BETWEEN TIMESTAMP '2011-01-01' AND TIMESTAMP '2011-01-31 23:59:59'";
    assert_eq!(program.count(cancelled).await, program.count(loaded).await);
}

/// Files that are none say so, and cost no other.
async fn broken(program: &Program, landing: &Path) {
    let header =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
    let row = |number: u32| {
        format!(
            "{number},A1,\"CAFÉ SAID \"\"HI\"\", THEN LEFT\",2,2011-05-20 10:00:00,1.5,,France\n"
        )
    };
    std::fs::write(landing.join("empty.csv"), "").unwrap();
    let packed = zstd::encode_all(header.as_bytes(), 1).unwrap();
    std::fs::write(landing.join("wrong.csv"), &packed[..packed.len() / 2]).unwrap();
    std::fs::write(
        landing.join("noise.csv"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 1, 2],
    )
    .unwrap();
    // One line has too few fields, one a quote that is never closed, one bytes that are no text.
    let mut mixed = format!("{header}{}{}", row(1), row(2)).into_bytes();
    mixed.extend_from_slice(b"3,A1\n4,A1,\xff,2,2011-05-20 10:00:00,1.5,,France\n");
    mixed.extend_from_slice(row(5).as_bytes());
    std::fs::write(landing.join("mixed.csv"), mixed).unwrap();
    let before = program.count("SELECT count(*) FROM sales").await;
    let dead = program.count("SELECT count(*) FROM sales__dead").await;
    program.until("SELECT count(*) FROM failed_files", 3).await;
    program.until("SELECT count(*) FROM loaded_files WHERE key = 'mixed.csv'", 1).await;
    program.settle("sales").await;
    let failed = program.sql("SELECT key, message FROM failed_files ORDER BY key").await;
    let told: Vec<(&str, &str)> =
        failed.iter().map(|it| (it[0].as_str().unwrap(), it[1].as_str().unwrap())).collect();
    assert_eq!(told[0], ("empty.csv", "the file is empty"));
    assert_eq!(told[1].0, "noise.csv");
    assert!(told[1].1.contains("picture"), "{told:?}");
    assert_eq!(told[2].0, "wrong.csv");
    assert_eq!(program.count("SELECT count(*) FROM sales").await, before + 3);
    assert_eq!(program.count("SELECT count(*) FROM sales__dead").await, dead + 2);
    // A better version is read, and the alert that it raised is over.
    std::fs::write(landing.join("empty.csv"), format!("{header}{}", row(9))).unwrap();
    program.until("SELECT count(*) FROM failed_files", 2).await;
    program.until("SELECT count(*) FROM system.alerts WHERE state = 'firing'", 2).await;
    std::fs::remove_file(landing.join("wrong.csv")).unwrap();
    program.until("SELECT count(*) FROM failed_files", 1).await;
}

const COLD: &str = r#"
[bucket.landing]
from   = "landing"
every  = "200 milliseconds"
settle = "0 seconds"
cold   = { after = "1 second", to = "cold" }

[stream.lines]
from = [{ door = "files", bucket = "landing", matching = "**/*.csv" }]

[stream.lines.columns]
id   = "int not null"
text = "text"
"#;

/// The files below a folder, but for what is hidden.
fn count_files(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        count += if entry.path().is_dir() { count_files(&entry.path()) } else { 1 };
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_while_objects_become_cold_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (project, own) = (folder.path().join("project"), folder.path().join("data"));
    let landing = project.join("landing");
    std::fs::create_dir_all(landing.join("in")).unwrap();
    std::fs::write(project.join("mainstem.toml"), COLD).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut rows, mut noise) = (0_u64, vec![0; 60_000]);
    for file in 0..60 {
        let mut text = "id,text\n".to_owned();
        for _ in 0..random.u64(1..2_000) {
            text.push_str(&format!("{rows},file {file} says {}\n", random.u32(..)));
            rows += 1;
        }
        std::fs::write(landing.join(format!("in/{file}.csv")), text).unwrap();
    }
    for file in 0..10 {
        random.fill(&mut noise);
        std::fs::write(landing.join(format!("in/{file}.bin")), &noise).unwrap();
    }
    for round in 0..4 {
        let program = Program::start(&project, &own);
        tokio::time::sleep(Duration::from_millis(1_500 + 370 * round)).await;
        program.kill();
    }
    let program = Program::start(&project, &own);
    program.until("SELECT count(*) FROM landing_objects WHERE tier = 'cold'", 70).await;
    program.until("SELECT count(DISTINCT id) FROM lines", rows).await;
    assert_eq!(program.count("SELECT count(*) FROM lines").await, rows);
    assert_eq!(program.count("SELECT count(*) FROM landing_objects").await, 70);
    let twice = "SELECT count(*) FROM (SELECT key, event FROM landing_events
                 GROUP BY key, event HAVING 1 < count(*))";
    assert_eq!(program.count(twice).await, 0, "each thing is told once");
    let asked = "SELECT count(DISTINCT id) FROM landing.\"in/*.csv\"";
    assert_eq!(program.count(asked).await, rows, "questions read what is cold");
    program.stop();
    assert_eq!((count_files(&landing), count_files(&project.join("cold"))), (0, 70));
}

const SNAPSHOTS: &str = r#"
[bucket.landing]
from      = "landing"
every     = "200 ms"
settle    = "100 ms"
snapshots = { every = "1 hour", keep = 2 }

[stream.sales]
from = [{ door = "files", bucket = "landing" }]

[stream.sales.columns]
id = "int not null"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_goes_back_to_its_snapshot_after_a_kill_and_no_row_is_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let (project, data) = (folder.path().join("project"), folder.path().join("data"));
    let landing = project.join("landing");
    std::fs::create_dir_all(&landing).unwrap();
    std::fs::write(project.join("mainstem.toml"), SNAPSHOTS).unwrap();
    for name in ["one", "two"] {
        std::fs::write(landing.join(format!("{name}.csv")), "id\n1\n2\n").unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let program = Program::start(&project, &data);
    let taken = "SELECT count(*) FROM system.snapshots WHERE kind = 'bucket' AND files = 2";
    program.until(taken, 1).await;
    program.until("SELECT count(*) FROM sales", 4).await;
    program.kill();

    std::fs::remove_file(landing.join("one.csv")).unwrap();
    let unfinished = landing.join("two.csv.tmp");
    std::fs::write(&unfinished, "id\n3\n").unwrap();
    std::fs::rename(unfinished, landing.join("two.csv")).unwrap();
    std::fs::write(landing.join("three.csv"), "id\n4\n").unwrap();
    let program = Program::start(&project, &data);
    program.until(taken, 1).await;
    program.until("SELECT count(*) FROM sales", 6).await;
    program.until("SELECT count(*) FROM landing_objects", 2).await;

    let (data_at, project_at) = (data.to_str().unwrap(), project.to_str().unwrap());
    let restore = |more: &[&str]| {
        let first = ["restore", "landing", "--data", data_at, "--dir", project_at];
        printed(&first.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let told = restore(&["--snapshot", "1"]);
    assert!(told.contains("has 2 objects of snapshot 1 again; 0 as before, 0 deleted"), "{told}");
    assert_eq!(std::fs::read_to_string(landing.join("two.csv")).unwrap(), "id\n1\n2\n");
    program.until("SELECT count(*) FROM landing_objects", 3).await;
    let told = restore(&["--snapshot", "1", "--delete", "--key", "*.csv"]);
    assert!(told.contains("has 0 objects of snapshot 1 again; 2 as before, 1 deleted"), "{told}");
    program.until("SELECT count(*) FROM landing_objects", 2).await;
    // A file that comes later is read after those that came back.
    std::fs::write(landing.join("four.csv"), "id\n5\n").unwrap();
    program.until("SELECT count(*) FROM sales WHERE id = 5", 1).await;
    assert_eq!(program.count("SELECT count(*) FROM sales").await, 7, "no row is doubled");
    program.stop();
}
