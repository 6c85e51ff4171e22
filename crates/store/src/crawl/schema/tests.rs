use std::fs;
use std::io::Write as _;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;
use crate::crawl::Elsewhere;

/// Asks over a bucket `landing` with these files.
struct Landing {
    folder: tempfile::TempDir,
    session: SessionContext,
}

impl Landing {
    fn with(files: &[(&str, &[u8])]) -> Landing {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let objects = Objects::new("landing", Place::of_path(folder.path().to_owned()));
        let config = SessionConfig::new()
            .with_target_partitions(2)
            .with_default_catalog_and_schema("db", "landing")
            .with_create_default_catalog_and_schema(false);
        let session = SessionContext::new_with_config(config);
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("landing", Arc::new(objects)).unwrap();
        session.register_catalog("db", Arc::new(catalog));
        Landing { folder, session }
    }

    /// Returns the rows as lines of CSV, or the error.
    async fn ask(&self, sql: &str) -> String {
        let answer = async { self.session.sql(sql).await?.collect().await };
        match answer.await {
            Ok(batches) => {
                let mut text = String::new();
                for batch in &batches {
                    rows::csv::write_rows(batch, &mut text);
                }
                text
            }
            Err(error) => error.find_root().strip_backtrace(),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

const MAY: &[u8] = b"Id;City;Amount;Day\n1;Lyon;1.234,50;31/05/2024\n2;Lille;7,00;30/05/2024\n";
const JUNE: &[u8] =
    b"id,amount,city,day\n3,10.25,\"Paris, centre\",2024-06-01\n4,,N/A,2024-06-02\n";

#[tokio::test]
async fn files_that_are_written_in_different_ways_are_one_table() {
    let june = gzip(JUNE);
    let landing = Landing::with(&[
        ("sales/month=5/a.csv", MAY),
        ("sales/month=6/b.csv.gz", &june),
        ("notes.txt", b"nothing of that kind"),
    ]);
    // `Id` and `id` are names of different columns in a file, and of one in SQL.
    let rows = landing.ask("SELECT * FROM landing.\"sales/month=6/*\" ORDER BY id").await;
    let file = "sales/month=6/b.csv.gz";
    let expected =
        format!("3,10.25,\"Paris, centre\",2024-06-01,6,{file}\n4,,N/A,2024-06-02,6,{file}\n");
    assert_eq!(rows, expected);
    let rows = landing.ask("SELECT id, city, amount, day FROM landing.\"sales/month=5/*\"").await;
    assert_eq!(rows, "1,Lyon,1234.5,2024-05-31\n2,Lille,7.0,2024-05-30\n");
}

#[tokio::test]
async fn only_what_is_asked_for_is_read() {
    let one = b"a,b\n1,x\n2,y\n";
    let two = b"a,b\n3,z\n";
    let landing = Landing::with(&[("t/1.csv", one), ("t/2.csv", two)]);
    assert_eq!(landing.ask("SELECT count(*) FROM landing.\"t/*.csv\"").await, "3\n");
    assert_eq!(landing.ask("SELECT sum(a) FROM landing.\"**\"").await, "6\n");
    let by_file = "SELECT _file, count(*) FROM landing.\"t/*\" GROUP BY _file ORDER BY _file";
    assert_eq!(landing.ask(by_file).await, "t/1.csv,2\nt/2.csv,1\n");
    assert_eq!(landing.ask("SELECT b FROM landing.\"t/1.csv\" LIMIT 1").await, "x\n");
    // A file that lands is there for the next question.
    fs::write(landing.folder.path().join("t/3.csv"), b"a,b\n10,w\n").unwrap();
    assert_eq!(landing.ask("SELECT sum(a) FROM landing.\"t/*\"").await, "16\n");
}

#[tokio::test]
async fn json_and_columns_that_some_files_lack() {
    let landing = Landing::with(&[
        ("e/1.ndjson", b"{\"at\":\"2024-01-01T00:00:00Z\",\"n\":1}\n{\"at\":\"2024-01-02T00:00:00Z\",\"n\":2}\n"),
        ("e/2.json", b"[{\"at\":\"2024-01-03T00:00:00Z\",\"n\":3,\"who\":\"ada\"}]"),
    ]);
    let rows = landing.ask("SELECT n, who FROM landing.\"e/*\" ORDER BY n").await;
    assert_eq!(rows, "1,\n2,\n3,ada\n");
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let landing = Landing::with(&[
        ("people.csv", b"name,age\nada,36\nbob,40\n"),
        ("prices/a.csv", b"product,price\np1,2.50\np2,3.00\n"),
        ("empty.csv", b""),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("cut.parquet", b"PAR1 and no end"),
    ]);
    let cases = [
        ("nothing/*", "`landing.\"nothing/*\"` means no object"),
        ("picture.png", "holds no table"),
        ("empty.csv", "one object that holds no table: empty"),
        ("**/*.csv", "files of 2 different tables; write one of the patterns"),
        ("cut.parquet", "`cut.parquet` cannot be read"),
        ("{a", "`{` without `}`"),
    ];
    for (pattern, expected) in cases {
        let said = landing.ask(&format!("SELECT * FROM landing.\"{pattern}\"")).await;
        assert!(said.contains(expected), "{pattern}: {said}");
    }
}

#[tokio::test]
async fn a_row_that_does_not_fit_ends_the_question_and_is_named() {
    // So far behind that no look at the file finds it.
    let mut text = "n,city\n".to_owned();
    for number in 0..100_000 {
        text += &format!("{number},Lyon\n");
    }
    text += "many,Lille\n";
    let landing = Landing::with(&[("a.csv", text.as_bytes())]);
    let said = landing.ask("SELECT sum(n) FROM landing.\"a.csv\"").await;
    assert!(said.contains("row 100001 of `a.csv` does not fit"), "{said}");
    // Who does not ask for the column is not disturbed.
    assert_eq!(landing.ask("SELECT count(city) FROM landing.\"a.csv\"").await, "100001\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_are_in_the_order_that_any_of_the_files_decides() {
    let landing = Landing::with(&[
        ("a_1.csv", b"id,day\n1,31/05/2024\n2,30/05/2024\n"),
        ("a_2.csv", b"id,day\n3,01/04/2024\n4,02/04/2024\n"),
    ]);
    let asked = landing.ask("SELECT id, day FROM \"a_*.csv\" WHERE 2 < id ORDER BY id").await;
    assert_eq!(asked, "3,2024-04-01\n4,2024-04-02\n");
}

/// Files that lie elsewhere.
struct Far(Vec<(&'static str, Vec<u8>)>);

impl Elsewhere for Far {
    fn list(&self) -> Vec<(String, u64)> {
        self.0.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.len() as u64)).collect()
    }

    fn open(&self, path: &str) -> Option<std::io::Result<fs::File>> {
        let (_, bytes) = self.0.iter().find(|(it, _)| *it == path)?;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Some(Ok(file))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_lie_elsewhere_are_read_with_those_of_the_place() {
    let far = Far(vec![
        ("x/a.csv", b"id,city\n1,over\n".to_vec()),
        ("x/b.csv", gzip(b"id,city\n2,Lyon\n")),
        ("x/.hidden.csv", b"id,city\n9,none\n".to_vec()),
    ]);
    let landing = Landing::with(&[("x/a.csv", b"id,city\n1,Paris\n")]);
    let place = Place::of_path(landing.folder.path().to_owned()).with(Arc::new(far));
    let schema = Objects::new("landing", place);
    let catalog = landing.session.catalog("db").unwrap();
    catalog.register_schema("landing", Arc::new(schema)).unwrap();
    let asked = landing.ask("SELECT id, city, _file FROM \"x/*.csv\" ORDER BY id").await;
    assert_eq!(asked, "1,Paris,x/a.csv\n2,Lyon,x/b.csv\n");
}
