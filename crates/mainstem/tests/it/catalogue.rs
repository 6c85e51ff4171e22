//! Files of all kinds appear in a bucket and can be found, described and asked: the example
//! `catalogue` on files that others have published.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::program::{Program, copied, data, mainstem, peers, printed, root};

/// Copies a folder with those below it; what is copied may be written to.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::write(target, std::fs::read(path).unwrap()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_example_are_one_table_whatever_their_format_and_carry_what_was_said_of_them()
{
    let folder = tempfile::tempdir().unwrap();
    let project = copied("catalogue", folder.path());
    let bucket = project.join("experiments");
    copy(&root().join("examples/catalogue/sample"), &bucket);
    let program = Program::start(&project, &folder.path().join("data"));
    program.until("SELECT count(*) FROM growth", 3 * 6 * 3).await;
    let settled = program.settle("growth").await;
    assert_eq!((settled.received, settled.dead), (54, 0));
    let plates = "SELECT plate, count(*), min(density), max(density), max(celsius) FROM";
    let plates = |from: &str| format!("{plates} {from} GROUP BY plate ORDER BY plate");
    let wanted = [
        json!([1, 18, 0.082, 1.403, 30.3]),
        json!([2, 18, 0.076, 1.358, 30.3]),
        json!([3, 18, 0.071, 1.307, 30.3]),
    ];
    assert_eq!(program.sql(&plates("growth")).await, wanted.each_ref().map(list), "by the stream");
    let asked = plates("experiments.\"growth/**\"");
    assert_eq!(program.sql(&asked).await, wanted.each_ref().map(list), "as they lie there");
    program.until("SELECT count(*) FROM files", 5).await;
    let known = "SELECT count(*) FROM kpi_experiments WHERE \
        experiment = 'battery' AND files = 2 OR experiment = 'growth' AND files = 3";
    program.until(known, 2).await;
    let cells = "SELECT c.chemistry, min(m.capacity_m_ah) FROM experiments.\"battery/cycles.csv\" m \
        JOIN experiments.\"battery/cells.json\" c ON c.cell = m.cell GROUP BY c.chemistry ORDER BY 1";
    let wanted = [json!(["LFP", 2530]), json!(["NMC", 2490])];
    assert_eq!(program.sql(cells).await, wanted.each_ref().map(list), "two files of two formats");
    std::fs::write(bucket.join("growth/plate-4.csv"), "").unwrap();
    program.until("SELECT count(*) FROM unreadable_files", 1).await;
    std::fs::remove_file(bucket.join("growth/plate-4.csv")).unwrap();
    program.until("SELECT count(*) FROM unreadable_files", 0).await;
    described(&program).await;
    program.stop();
}

/// What a client says of a file beside its bytes is in the catalogue of files.
async fn described(program: &Program) {
    const PUT: &str = r#"
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
about = {"researcher": "Ines", "instrument": "reader 2", "about": "control"}
s3.put_object(Bucket="experiments", Key="control/2026.csv", Body=b"well,density\nA1,0.04\n", Metadata=about)
"#;
    let Some(python) = peers("boto3") else { return };
    let output = Command::new(python).args(["-c", PUT, &program.url("")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = "SELECT count(*) FROM files WHERE key = 'control/2026.csv' AND format = 'csv' \
        AND researcher = 'Ines' AND instrument = 'reader 2' AND about = 'control'";
    program.until(said, 1).await;
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

/// The rows of patterns, and an aggregate of each.
const ROWS: &[(&str, &str, &str)] = &[
    ("vega/airports.csv", "count(DISTINCT state)", "[3376,57]"),
    ("vega/birdstrikes.csv.gz", "sum(cost_total)", "[10000,40545276]"),
    ("vega/movies.json.gz", "count(imdb_rating) > 2900", "[3201,true]"),
    ("vega/penguins.json", "count(DISTINCT species)", "[344,3]"),
    ("vega/zipcodes.csv.gz", "count(DISTINCT zip_code)", "[42049,42049]"),
    ("vega/stocks.csv", "CAST(round(sum(price) * 10) AS BIGINT)", "[560,564112]"),
    ("vega/unemployment.tsv", "count(DISTINCT id)", "[3218,3218]"),
    ("vega/flights-200k.arrow", "min(distance) > 0", "[200000,true]"),
    ("ProductsClustering.csv.gz", "count(DISTINCT category_id)", "[35311,10]"),
    ("flight-summary/2010-summary.csv", "sum(count)", "[255,422269]"),
    ("flight-summary/2010-summary.json", "sum(count)", "[255,422269]"),
    ("flight-summary/2010-summary.parquet", "sum(count)", "[255,422269]"),
    ("flight-summary/2010-summary.snappy.orc", "sum(count)", "[255,422269]"),
    ("flight-summary/*", "sum(count)", "[1020,1689076]"),
];

#[tokio::test(flavor = "multi_thread")]
async fn published_files_of_ten_kinds_are_found_described_and_asked_without_a_declaration() {
    let Some(published) = data("catalogue") else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = copied("catalogue", folder.path());
    copy(&published, &project.join("experiments"));
    let program = Program::start(&project, &folder.path().join("data"));
    program.until("SELECT count(*) FROM files", 29).await;
    let formats = "SELECT format, count(*) FROM files GROUP BY format ORDER BY 2 DESC, 1";
    let wanted = [
        ("csv", 12),
        ("json", 12),
        ("arrow", 1),
        ("orc", 1),
        ("parquet", 1),
        ("png", 1),
        ("tsv", 1),
    ];
    let wanted = wanted.map(|(format, files)| vec![json!(format), json!(files)]);
    assert_eq!(program.sql(formats).await, wanted);
    let known = "SELECT count(*) FROM kpi_experiments WHERE \
        experiment = 'flight-summary' AND files = 4 OR experiment = 'vega' AND files = 24";
    program.until(known, 2).await;
    for (pattern, more, wanted) in ROWS {
        let sql = format!("SELECT count(*), {more} FROM experiments.\"{pattern}\"");
        let found = program.sql(&sql).await.remove(0);
        assert_eq!(Value::Array(found).to_string(), *wanted, "{sql}");
    }
    let picture = "SELECT * FROM experiments.\"vega/ffox.png\"";
    let said = mainstem(&["sql", picture, "--http", &program.http]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("picture"), "{said}");
    program.stop();
    declared(&project.join("experiments"), folder.path()).await;
}

/// What `mainstem crawl` proposes is a project, and each of its tables an entry of the catalogue
/// with the columns that its author published.
async fn declared(files: &Path, folder: &Path) {
    let project = folder.join("found");
    std::fs::create_dir_all(&project).unwrap();
    let (from, to) = (files.to_str().unwrap(), project.to_str().unwrap());
    printed(&["crawl", from, "--write", to]);
    assert!(printed(&["check", to]).contains("all well"));
    let program = Program::start(&project, &folder.join("of found"));
    // Small tables with a key are lookups, the others streams.
    for (name, rows) in [("airports", 3_376), ("birdstrikes", 10_000), ("movies", 3_201)] {
        program.until(&format!("SELECT count(*) FROM {name}"), rows).await;
    }
    let settled = program.settle("birdstrikes").await;
    assert_eq!((settled.received, settled.dead), (10_000, 0));
    let published = std::fs::read(files.join("vega/datapackage.json")).unwrap();
    let published: Value = serde_json::from_slice(&published).unwrap();
    let published: BTreeMap<&str, &Value> = published["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), &it["schema"]["fields"]))
        .collect();
    for name in ["airports", "birdstrikes", "movies", "penguins"] {
        let entry = get(&program, &format!("/v1/catalog/{name}")).await;
        let columns = entry["columns"].as_array().unwrap().iter();
        let columns: Vec<&str> = columns
            .map(|it| it["name"].as_str().unwrap())
            .filter(|it| !it.starts_with('_'))
            .collect();
        let fields = published[name.replace('_', "-").as_str()].as_array().unwrap();
        assert_eq!(columns.len(), fields.len(), "{name}: {columns:?}");
    }
    let found = printed(&["catalog", "search", "director", "--http", &program.http, "--json"]);
    assert!(found.contains("\"name\":\"movies\""), "a column finds its table: {found}");
    let found = get(&program, "/v1/catalog/birdstrikes/statistics").await;
    assert_eq!(found["rows"], 10_000, "{found}");
    let phases =
        found["columns"].as_array().unwrap().iter().find(|it| it["name"] == "phase_of_flight");
    assert_eq!(phases.unwrap()["distinct"], 7, "{found}");
    program.stop();
}

async fn get(program: &Program, path: &str) -> Value {
    reqwest::get(program.url(path)).await.unwrap().json().await.unwrap()
}
