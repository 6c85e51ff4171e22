//! Streams that say `schema = "infer"`, through the real program: columns are found once, written
//! into the project, and stay.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::program::{Program, mainstem, printed};

const PROJECT: &str = r#"
[project]
name  = "till"
flush = "200 ms"

[bucket.landing]
from   = "landing"
every  = "200 milliseconds"
settle = "0 seconds"

[stream.sales]
schema = "infer"
time   = "sold"
from   = [{ door = "files", bucket = "landing", matching = "sales/**" }]
"#;

const FIRST: &str = "id,sold,price\n1,2024-03-01T08:00:00Z,2.5\n2,2024-03-01T09:00:00Z,7.25\n";

/// Its price is text, and it has a column more.
const OTHER: &str = "id,sold,price,note\n3,2024-03-02T08:00:00Z,free,gift\n";

const COUNT: &str = "SELECT count(*) FROM sales";

fn put(project: &Path, key: &str, text: &str) {
    let path = project.join("landing").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn till(folder: &Path) -> std::path::PathBuf {
    let project = folder.join("till");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("mainstem.toml"), PROJECT).unwrap();
    project
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_found_once_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let project = till(folder.path());
    let data = folder.path().join("data");
    put(&project, "sales/1.csv", FIRST);
    let program = Program::start(&project, &data);
    program.until(COUNT, 2).await;
    let prices = program.value("SELECT sum(price) FROM sales").await;
    assert_eq!(prices.as_f64(), Some(9.75));
    program.stop();
    let schema = project.join("schemas/sales.toml");
    let written = fs::read_to_string(&schema).unwrap();
    assert!(written.contains("[stream.sales.columns]"), "{written}");

    fs::remove_file(project.join("landing/sales/1.csv")).unwrap();
    put(&project, "sales/2.csv", OTHER);
    let program = Program::start(&project, &data);
    program.until("SELECT count(*) FROM sales__dead", 1).await;
    assert_eq!(program.count(COUNT).await, 2);
    assert_eq!(fs::read_to_string(&schema).unwrap(), written);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_until_a_file_lands() {
    let folder = tempfile::tempdir().unwrap();
    let project = till(folder.path());
    let data = folder.path().join("data");
    let dir = project.to_str().unwrap();
    let checked = mainstem(&["check", dir]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("`sales` has no columns yet"), "{said}");
    assert!(!project.join("schemas").exists());

    let program = Program::start(&project, &data);
    put(&project, "sales/1.csv", FIRST);
    let schema = project.join("schemas/sales.toml");
    for _ in 0..300 {
        if schema.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(schema.exists(), "the folder is watched");
    let data = data.to_str().unwrap();
    let plan = printed(&["plan", dir, "--data", data]);
    assert!(plan.contains("+ stream sales"), "{plan}");
    printed(&["apply", dir, "--data", data]);
    program.until(COUNT, 2).await;
    program.stop();
}

#[test]
fn files_of_two_tables_are_no_columns() {
    let folder = tempfile::tempdir().unwrap();
    let project = till(folder.path());
    put(&project, "sales/old/prices.csv", FIRST);
    put(&project, "sales/stock/left.csv", "sku,left\nT-1,4\nT-2,5\n");
    let checked = mainstem(&["check", project.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("means files of"), "{said}");
    assert!(!project.join("schemas").exists());
}
