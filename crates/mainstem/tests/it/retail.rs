//! The retail days through the whole program, against the published facts.

use std::process::Command;

use serde_json::Value;

use crate::program::{Program, data, printed, root};

const CANCELLATIONS: &str = "SELECT count(*) FROM lines WHERE cancelled";
const REVENUE: &str = "SELECT CAST(round(sum(revenue), 2) AS TEXT) FROM lines";
const COUNTRIES: &str = "SELECT country, CAST(round(revenue, 2) AS TEXT) FROM revenue_by_country ORDER BY revenue DESC LIMIT 4";
const DAYS: &str = "SELECT CAST(round(sum(revenue), 2) AS TEXT) FROM revenue_by_day";

#[tokio::test(flavor = "multi_thread")]
async fn the_retail_days_give_the_published_facts_by_every_way_of_asking() {
    let Some(archive) = data("retail/online_retail_by_day.tar.zst") else { return };
    let folder = tempfile::tempdir().unwrap();
    let project = root().join("examples/retail");
    let program = Program::start(&project, folder.path());

    let archive = archive.to_str().unwrap();
    let said = printed(&["replay", archive, "--into", "invoices", "--http", &program.http]);
    assert!(said.contains("245903 records acknowledged"), "{said}");
    let settled = program.settle("invoices").await;
    assert_eq!(settled.received, 245_903);
    assert_eq!(settled.dead, 1_478, "rows with UnitPrice <= 0");
    assert_eq!(settled.stored, 245_903 - 1_478);
    facts(&program).await;

    // After a restart, from the files.
    program.stop();
    let program = Program::start(&project, folder.path());
    assert_eq!(program.settle("invoices").await, settled);
    facts(&program).await;
    program.stop();
    others(folder.path());
}

async fn facts(program: &Program) {
    assert_eq!(program.count("SELECT count(*) FROM invoices").await, 244_425);
    assert_eq!(
        program.count("SELECT count(*) FROM invoices WHERE \"InvoiceNo\" LIKE 'C%'").await,
        4_494
    );
    assert_eq!(program.count(CANCELLATIONS).await, 4_494);
    assert_eq!(program.value(REVENUE).await, "4397950.76");
    assert_eq!(program.value(DAYS).await, "4397950.76");
    let reasons =
        program.sql("SELECT kind, \"check\", count(*) FROM invoices__dead GROUP BY 1, 2").await;
    assert_eq!(reasons, [["check".into(), "price_is_positive".into(), Value::from(1_478)]]);
    let countries = program.sql(COUNTRIES).await;
    let expected = [
        ["United Kingdom", "3672198.47"],
        ["Netherlands", "139749.77"],
        ["Germany", "104769.27"],
        ["EIRE", "104695.94"],
    ];
    assert_eq!(countries, expected);
}

/// Another reader of Delta tables sees the same rows in the folder.
fn others(data: &std::path::Path) {
    let python = root().join("target/peers/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED: no target/peers (cargo xtask peers)");
        return;
    }
    let script = r"
import sys, duckdb
lake = sys.argv[1]
c = duckdb.connect()
c.execute('LOAD delta')
rows, revenue, cancelled = c.execute(f'''select count(*), round(sum(revenue), 2), count(*) filter (cancelled) from delta_scan('{lake}/lines')''').fetchone()
assert rows == 244425 and str(revenue) == '4397950.76' and cancelled == 4494, (rows, revenue, cancelled)
dead, = c.execute(f'''select count(*) from delta_scan('{lake}/invoices__dead')''').fetchone()
assert dead == 1478, dead
revenue, = c.execute(f'''select round(sum(revenue), 2) from delta_scan('{lake}/revenue_by_country')''').fetchone()
assert str(revenue) == '4397950.76', revenue
";
    let output = Command::new(python).args(["-c", script]).arg(data.join("lake")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
