use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rows::files::{Rows, Verdict};
use rows::infer::{Form, Guess};
use spec::ColumnType;
use tokio::runtime::Runtime;

use rows::files::partitions;

use super::pattern::{Pattern, common};
use super::*;

/// Real data to test with, if it is on this machine.
fn data(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("MAINSTEM_TEST_DATA")
        .map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let path = folder.join(path);
    if path.try_exists().unwrap() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there (setting MAINSTEM_TEST_DATA)", path.display());
    None
}

fn crawl_at(folder: &Path) -> Crawl {
    let runtime = Runtime::new().unwrap();
    let place = Place::new(folder.to_str().unwrap(), Vec::new(), runtime.handle().clone()).unwrap();
    let found = crawl(&place, &Settings::default(), &|_| ()).unwrap();
    for file in &found.files {
        assert!(file.tables.iter().all(|it| *it < found.tables.len()));
    }
    found
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// The tables: name, pattern, files, rows, columns with types.
fn said(found: &Crawl) -> Vec<String> {
    let columns = |guesses: &[Guess]| {
        guesses.iter().map(|it| format!("{} {}", it.name, it.kind)).collect::<Vec<_>>().join(", ")
    };
    found
        .tables
        .iter()
        .map(|it| {
            let (name, pattern, files) = (&it.name, &it.pattern, it.files.len());
            let by = if it.partitions.is_empty() {
                String::new()
            } else {
                format!(" by {}", columns(&it.partitions))
            };
            let rows = it.rows.count();
            format!("{name} {pattern} {files} files {rows} rows: {}{by}", columns(&it.columns))
        })
        .collect()
}

fn table<'a>(found: &'a Crawl, name: &str) -> &'a FoundTable {
    let names: Vec<&str> = found.tables.iter().map(|it| it.name.as_str()).collect();
    let table = found.tables.iter().find(|it| it.name == name);
    table.unwrap_or_else(|| panic!("no {name} among {names:?}"))
}

#[test]
fn the_fields_of_the_vega_data_sets_are_found_as_their_makers_declare_them() {
    let Some(path) = data("catalogue/vega") else { return };
    let found = crawl_at(&path);
    let package: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("datapackage.json")).unwrap()).unwrap();
    let (mut fields, mut right, mut misses) = (0, 0, Vec::new());
    for resource in package["resources"].as_array().unwrap() {
        let file = resource["path"].as_str().unwrap();
        let Some(declared) = resource["schema"]["fields"].as_array() else { continue };
        let place = found.files.iter().position(|it| it.path.trim_end_matches(".gz") == file);
        let place = place.unwrap_or_else(|| panic!("{file} was not found"));
        let tables: Vec<&FoundTable> =
            found.tables.iter().filter(|it| it.files == [place]).collect();
        let [table] = tables.as_slice() else {
            panic!("{file} is no table of its own: {tables:?}")
        };
        for field in declared {
            fields += 1;
            let (name, kind) = (field["name"].as_str().unwrap(), field["type"].as_str().unwrap());
            let guess = table.columns.iter().find(|it| it.name == name);
            let guess = guess.unwrap_or_else(|| panic!("{file} has no {name}"));
            if is_right(kind, guess.kind) {
                right += 1;
            } else {
                let why = why(&found, table, guess);
                misses.push(format!("{file} {name}: {} and not {kind}: {why}", guess.kind));
            }
        }
        assert!(declared.len() <= table.columns.len(), "{file}");
    }
    let share = f64::from(right) / f64::from(fields);
    println!("{right} of {fields} fields ({:.1} %) as declared; the others:", share * 100.0);
    misses.iter().for_each(|it| println!("  {it}"));
    assert_eq!(fields, 121);
    assert!(0.95 <= share, "{share}: {misses:#?}");
    // Each of them is a field whose declaration the values do not bear out.
    let known = [
        "cars.json Miles_per_Gallon: float and not integer: ",
        "github.csv time: timestamp and not string: ",
        "zipcodes.csv zip_code: text and not integer: ",
    ];
    for miss in &misses {
        assert!(known.iter().any(|it| miss.starts_with(it)), "not explained: {miss}");
    }
    let picture = found.files.iter().find(|it| it.path == "ffox.png").unwrap();
    assert_eq!(picture.verdict, Verdict::Unknown("a picture (PNG)".to_owned()));
}

fn is_right(declared: &str, found: ColumnType) -> bool {
    match declared {
        "string" => found == ColumnType::Text,
        "integer" => found == ColumnType::Int,
        "number" => matches!(found, ColumnType::Float | ColumnType::Decimal { .. }),
        "date" => found == ColumnType::Date,
        "datetime" => found == ColumnType::Timestamp,
        "boolean" => found == ColumnType::Bool,
        other => panic!("{other} is not mapped"),
    }
}

#[test]
fn one_table_in_four_formats_is_one_table() {
    let Some(path) = data("catalogue/flight-summary") else { return };
    let found = crawl_at(&path);
    let [table] = found.tables.as_slice() else { panic!("{:?}", said(&found)) };
    assert_eq!(table.files.len(), 4);
    assert_eq!(table.rows, Rows::Exactly(4 * 255));
    assert!(table.notes.iter().any(|it| it.contains("4 formats")), "{:?}", table.notes);
    let names: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["DEST_COUNTRY_NAME", "ORIGIN_COUNTRY_NAME", "count"]);
    assert_eq!(table.columns[2].kind, ColumnType::Int);
}

#[test]
fn facts_of_the_shared_data_are_found() {
    let Some(path) = data("catalogue") else { return };
    let found = crawl_at(&path);
    let offers = table(&found, "products_clustering");
    assert_eq!(offers.columns.len(), 7);
    let Rows::About(rows) = offers.rows else { panic!("35,311 rows are not read whole") };
    assert!((20_000..60_000).contains(&rows), "{rows}");

    let Some(path) = data("warehouse") else { return };
    let found = crawl_at(&path);
    assert_eq!(table(&found, "flights").rows, Rows::Exactly(336_776));

    let Some(path) = data("marketing") else { return };
    let found = crawl_at(&path);
    let prospects = table(&found, "crm_prospects");
    assert_eq!((prospects.rows, prospects.columns.len()), (Rows::Exactly(2_059), 24));
    let tweets = found.tables.iter().find(|it| it.pattern.starts_with("tweet_volume/")).unwrap();
    assert!(1 < tweets.files.len(), "files of one schema are one table");
    assert_eq!(tweets.columns[0].kind, ColumnType::Timestamp);

    let Some(path) = data("retail") else { return };
    let found = crawl_at(&path);
    let sample = found.tables.iter().find(|it| it.pattern == "CDNOW_sample.txt.gz").unwrap();
    assert_eq!((sample.rows, sample.columns.len()), (Rows::Exactly(6_919), 5));

    let Some(path) = data("maintenance") else { return };
    let found = crawl_at(&path);
    assert_eq!(table(&found, "ai4i2020").rows, Rows::Exactly(10_000));
}

#[test]
fn no_file_of_the_shared_data_is_a_panic() {
    let Some(path) = data("") else { return };
    let found = crawl_at(&path);
    for file in &found.files {
        assert!(!file.verdict.reason().contains("gave up"), "{}: {:?}", file.path, file.verdict);
    }
    println!("{} files, {} tables", found.files.len(), found.tables.len());
}

#[test]
fn dated_and_numbered_files_are_one_table() {
    let found = crawl_at(
        folder(&[
            ("orders_2024-01-05.csv", b"id,total\n1,2.5\n"),
            ("orders_2024-01-06.csv", b"id,total\n2,3.5\n3,4.5\n"),
            ("orders_2024-01-07.csv", b"id,total,note\n4,5.5,late\n"),
            ("customers.csv", b"id,name\n1,Anna\n2,Ben\n"),
        ])
        .path(),
    );
    assert_eq!(
        said(&found),
        [
            "customers customers.csv 1 files 2 rows: id int, name text",
            "orders orders_*.csv 3 files 4 rows: id int, total float, note text",
        ]
    );
    let note = &table(&found, "orders").columns[2];
    assert_eq!((note.evidence.seen, note.evidence.missing), (4, 3));
}

#[test]
fn folders_with_values_are_columns_with_types() {
    let found = crawl_at(
        folder(&[
            ("sales/year=2024/month=01/part-0.csv", b"id,n\n1,2\n"),
            ("sales/year=2024/month=02/part-0.csv", b"id,n\n1,2\n"),
            ("sales/year=2025/month=__HIVE_DEFAULT_PARTITION__/part-0.csv", b"id,n\n1,2\n"),
            ("logs/2024/01/05/a.json", b"{\"x\":1}\n"),
            ("logs/2024/01/06/a.json", b"{\"x\":2}\n"),
        ])
        .path(),
    );
    assert_eq!(
        said(&found),
        [
            "logs logs/*/*/*/a.json 2 files 2 rows: x int",
            "sales sales/year=*/month=*/part-0.csv 3 files 3 rows: id int, n int by year int, month text",
        ]
    );
    assert_eq!(found.tables[1].partitions[1].evidence.nulls, 1);
}

#[test]
fn files_of_one_folder_with_the_same_columns_are_one_table_whatever_they_are_called() {
    let found = crawl_at(
        folder(&[
            ("load/north.csv", b"at,value\n2024-01-05 10:00:00,1\n"),
            ("load/south.csv", b"at,value\n2024-01-05 10:00:00,2\n"),
            ("load/other.csv", b"at,city,value\n2024-01-05 10:00:00,Rome,2\n"),
        ])
        .path(),
    );
    assert_eq!(
        said(&found),
        [
            "load load/*.csv 2 files 2 rows: at timestamp, value int",
            "other load/other.csv 1 files 1 rows: at timestamp, city text, value int",
        ]
    );
}

#[test]
fn every_file_ends_as_a_row_that_says_what_it_is() {
    let found = crawl_at(
        folder(&[
            ("good.csv", b"a,b\n1,2\n"),
            ("empty.csv", b""),
            ("half.csv.part", b"a,b\n1,"),
            ("cut.csv", b"a,b,c\n1,2,3\n1,2,3\n1,2"),
            ("cut.json", b"[{\"a\":1},{\"a\":2},{\"a\""),
            ("zeros.csv", &[0; 100]),
            ("footerless.parquet", b"PAR1 and nothing more"),
            ("mixed.csv", b"id,name\n1,K\xc3\xb6ln\n2,M\xc3\xa4r\n3,Besan\xe7on\n"),
            ("picture.png", b"\x89PNG\r\n\x1a\n"),
            (".hidden/x.csv", b"a,b\n1,2\n"),
            ("_SUCCESS", b""),
        ])
        .path(),
    );
    let rows: Vec<(&str, &str)> =
        found.files.iter().map(|it| (it.path.as_str(), it.verdict.word())).collect();
    assert_eq!(
        rows,
        [
            ("cut.csv", "truncated"),
            ("cut.json", "truncated"),
            ("empty.csv", "empty"),
            ("footerless.parquet", "truncated"),
            ("good.csv", "ok"),
            ("half.csv.part", "half-uploaded"),
            ("mixed.csv", "mis-encoded"),
            ("picture.png", "unknown format"),
            ("zeros.csv", "half-uploaded"),
        ]
    );
    assert_eq!(found.hidden, 2);
    let why = found.files[5].verdict.reason();
    assert_eq!(why, "its name ends in `.part`");
}

#[test]
fn exceptions_are_named_with_their_file_and_row() {
    let mut second = "id,n\n".to_owned();
    for row in 1..=150 {
        second += if row == 17 { "17,many\n" } else { "5,6\n" };
    }
    let found = crawl_at(
        folder(&[("n_1.csv", b"id,n\n1,2\n2,N/A\n"), ("n_2.csv", second.as_bytes())]).path(),
    );
    let table = &found.tables[0];
    let why = why(&found, table, &table.columns[1]);
    assert_eq!(
        why,
        "1 of 152 values are not: `many` in n_2.csv row 17; 1 of 152 say `N/A`; 2 .. 6; 4 different"
    );
}

#[test]
fn one_file_is_a_place_too() {
    let folder = folder(&[("some orders.csv", b"id,n\n1,2\n")]);
    let found = crawl_at(&folder.path().join("some orders.csv"));
    assert_eq!(said(&found), ["some_orders  1 files 1 rows: id int, n int"]);
}

#[test]
fn an_object_store_is_a_place_too() {
    use object_store::{ObjectStoreExt as _, memory::InMemory};
    let runtime = Runtime::new().unwrap();
    let store = std::sync::Arc::new(InMemory::new());
    for (path, text) in [
        ("in/orders/day=1/a.csv", "id,total\n1,2.5\n"),
        ("in/orders/day=2/a.csv", "id,total\n2,3.5\n"),
        ("in/orders/_log/x.csv", "hidden\n"),
        ("in/empty.csv", ""),
        ("other/x.csv", "id\n1\n"),
    ] {
        let path = object_store::path::Path::from(path);
        runtime.block_on(store.put(&path, text.into())).unwrap();
    }
    let place = Place::of_store(store, "in", runtime.handle().clone());
    let found = crawl(&place, &Settings::default(), &|_| ()).unwrap();
    assert_eq!(
        said(&found),
        ["orders orders/day=*/a.csv 2 files 2 rows: id int, total float by day int"]
    );
    assert_eq!((found.files.len(), found.hidden), (3, 1));
    assert_eq!(found.files[0].verdict, Verdict::Empty);
}

#[test]
fn a_place_that_is_not_there_is_told() {
    let runtime = Runtime::new().unwrap();
    let place = Place::new("/nowhere/at/all", Vec::new(), runtime.handle().clone()).unwrap();
    let error = crawl(&place, &Settings::default(), &|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("cannot list `/nowhere/at/all`: "), "{error}");
    let wrong = Place::new("s4://a/b", Vec::new(), runtime.handle().clone());
    assert!(wrong.is_err());
}

#[test]
fn what_is_new_is_told() {
    let folder = folder(&[("orders_1.csv", b"id,total\n1,2\n"), ("old.csv", b"a,b\n1,2\n")]);
    let before = crawl_at(folder.path());
    fs::write(folder.path().join("orders_2.csv"), "id,total,note\n2,2.5,late\n").unwrap();
    fs::write(folder.path().join("orders_3.csv.tmp"), "id,").unwrap();
    fs::remove_file(folder.path().join("old.csv")).unwrap();
    let after = crawl_at(folder.path());
    let told: Vec<String> = changes(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "new file orders_2.csv: ok, in orders",
            "new file orders_3.csv.tmp: half-uploaded, its name ends in `.tmp`",
            "gone file old.csv",
            "changed column orders.total: float, before int",
            "new column orders.note: text",
        ]
    );
}

#[test]
fn names_of_files_become_patterns() {
    let of = |path: &str| {
        let Pattern { folder, stem } = Pattern::of(path);
        format!("{folder}|{stem}")
    };
    assert_eq!(of("a/orders_2024-01-05.csv.gz"), "a|orders_*");
    assert_eq!(of("a/orders20240105.csv"), "a|orders*");
    let uuid = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
    let path = format!("year=2024/m=1/part-00000-{uuid}.c000.snappy.parquet");
    assert_eq!(of(&path), "year=*/m=*|part-*");
    assert_eq!(of("x_deadbeef01.csv"), "|x_*");
    assert_eq!(of("2024/01/05/x.json"), "*/*/*|x");
    assert_eq!(of("3fa85f64-5717-4562-b3fc-2c963f66afa6.json"), "|*");
    assert_eq!(
        partitions("a/day=2024-01-05/t=a%3Ab/x.csv"),
        [
            ("day".to_owned(), Some("2024-01-05".to_owned())),
            ("t".to_owned(), Some("a:b".to_owned())),
        ]
    );
    let all = |paths: &[&str]| common(paths.iter().copied());
    assert_eq!(all(&["a/x_1.csv", "a/x_2.csv"]), "a/x_*.csv");
    assert_eq!(all(&["a/x_10.csv", "a/x_12.csv", "b/x_7.csv"]), "*/x_*.csv");
    assert_eq!(all(&["d/2024/a.csv", "d/2025/a.csv"]), "d/*/a.csv");
    assert_eq!(all(&["north.csv", "south.csv", "east.csv"]), "*.csv");
    assert_eq!(all(&["a_2024-01-05.csv", "a_2024-01-06.csv"]), "a_*.csv");
    assert_eq!(all(&["2024-01-05_a.csv", "2024-01-06_a.csv"]), "*_a.csv");
    assert_eq!(all(&["a.csv", "b/a.csv"]), "**/a.csv");
    assert_eq!(all(&["one.csv"]), "one.csv");
}

#[test]
fn what_is_proposed_reads_as_toml_and_keeps_forms_that_no_record_has_as_text() {
    let found = crawl_at(
        folder(&[
            ("p/products.csv", b"sku,price,since\nA-1,1.50,31/01/2024\nB-2,2.25,01/02/2024\n"),
            ("e/events_1.json", b"{\"at\":\"2024-01-05T10:00:00Z\",\"_x\":1,\"a b\":[1]}\n"),
            ("e/events_2.json", b"{\"at\":\"2024-01-05T10:00:01Z\",\"_x\":2,\"a b\":[]}\n"),
        ])
        .path(),
    );
    let store = vec![("aws_region".to_owned(), "${AWS_REGION}".to_owned())];
    let (name, from) = ("landing".to_owned(), "s3://tea/landing".to_owned());
    let bucket = Bucket { name, from, store, only: None };
    let lookup_path = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let mut proposal = Proposal::of(&found, bucket, &lookup_path);
    proposal.heading = "here".to_owned();
    let expected = r#"# here

[bucket.landing]
from = "s3://tea/landing"
store = { aws_region = "${AWS_REGION}" }

# e/events_*.json, 2 files: 2 rows, 93 B, ndjson
[stream.events]
from = [{ door = "files", bucket = "landing", matching = "e/events_*.json" }]
time = "at"

[stream.events.columns]
at = "timestamp"  # 2024-01-05T10:00:00Z .. 2024-01-05T10:00:01Z; all different
x = "int"         # 1 .. 2; all different
a_b = "json"      # [1] .. []; all different

# p/products.csv: 2 rows, 56 B, csv
[lookup.products]
from = "products.csv"
key  = "sku"

[lookup.products.columns]
sku = "text"             # A-1 .. B-2; all different
price = "decimal(18,2)"  # 1.5 .. 2.25; all different
since = "text"           # date: written as DD/MM/YYYY; 2024-01-31 .. 2024-02-01; all different; `31/01/2024` in row 1 decides the order
"#;
    assert_eq!(proposal.to_string(), expected);
}

#[test]
fn a_form_is_shown_to_people() {
    assert_eq!(Form::DecimalComma.to_string(), "written like 1.234,56");
}

proptest! {
    #[test]
    fn any_path_has_a_pattern(paths in prop::collection::vec("[a-z0-9=%*/._ -]{0,40}", 1..4)) {
        for path in &paths {
            let _pattern = Pattern::of(path);
            let _partitions = partitions(path);
        }
        let _common = common(paths.iter().map(String::as_str));
    }
}

#[test]
fn a_proposal_says_the_order_of_dates_that_a_file_by_itself_would_mistake() {
    let proposed = |files: &[(&str, &[u8])]| {
        let (name, from) = ("landing".to_owned(), "landing".to_owned());
        let bucket = Bucket { name, from, store: Vec::new(), only: None };
        let found = crawl_at(folder(files).path());
        Proposal::of(&found, bucket, &|_| None).to_string()
    };
    let open: (&str, &[u8]) = ("o/a_2.csv", b"id,day\n3,01/04/2024\n4,02/04/2024\n");
    let european: (&str, &[u8]) = ("o/a_1.csv", b"id,day\n1,31/05/2024\n2,30/05/2024\n");
    let american: (&str, &[u8]) = ("o/a_1.csv", b"id,day\n1,05/31/2024\n2,05/30/2024\n");
    let said = proposed(&[european, open]);
    assert!(said.contains("matching = \"o/a_*.csv\", dates = \"day first\" }]"), "{said}");
    assert!(!proposed(&[american, open]).contains("dates ="));
    assert!(!proposed(&[open]).contains("dates ="));
}
