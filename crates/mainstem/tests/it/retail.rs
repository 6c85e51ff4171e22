//! The retail days through the whole program, against the published facts.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, data, peers, printed, root};

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
    wire(&program, folder.path()).await;
    if is_compacted(&program).await {
        facts(&program).await;
        wire(&program, folder.path()).await;
    }
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

/// The same facts over the PostgreSQL wire.
async fn wire(program: &Program, data: &Path) {
    let password = std::fs::read_to_string(data.join("postgres.password")).unwrap();
    let (host, port) = program.postgres.rsplit_once(':').unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host(host).port(port.parse().unwrap()).user("mainstem").password(password.trim());
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count("SELECT count(*) FROM invoices").await, 244_425);
    assert_eq!(count(CANCELLATIONS).await, 4_494);
    let revenue = client.query_one(REVENUE, &[]).await.unwrap();
    assert_eq!(revenue.get::<_, &str>(0), "4397950.76");
    let rows = client.query(COUNTRIES, &[]).await.unwrap();
    let first = (rows[0].get::<_, &str>(0), rows[0].get::<_, &str>(1));
    assert_eq!((rows.len(), first), (4, ("United Kingdom", "3672198.47")));
}

/// Waits until small files were merged; returns whether they were, as that may take a while.
async fn is_compacted(program: &Program) -> bool {
    let sql = "SELECT files FROM system.tables WHERE name = 'lines'";
    let before = program.count(sql).await;
    for _ in 0..120 {
        if before <= 1 || program.count(sql).await < before {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    eprintln!("SKIPPED: {before} files of `lines` were not merged within a minute");
    false
}

/// Another reader of Delta tables sees the same rows in the folder.
fn others(data: &Path) {
    let Some(python) = peers("duckdb_extension_delta") else { return };
    // The extension lies in a package, so that nothing is downloaded here.
    let script = r#"
import glob, os, sys, duckdb, duckdb_extension_delta
lake = sys.argv[1]
home = os.path.dirname(duckdb_extension_delta.__file__)
extension = glob.glob(home + "/**/delta.duckdb_extension", recursive=True)[0]
c = duckdb.connect(config={"allow_unsigned_extensions": "true"})
c.execute(f"LOAD '{extension}'")
def ask(what, table):
    return c.execute(f"select {what} from delta_scan('{lake}/{table}')").fetchone()
rows, revenue, cancelled = ask("count(*), round(sum(revenue), 2), count(*) filter (cancelled)", "lines")
assert (rows, str(revenue), cancelled) == (244425, "4397950.76", 4494), (rows, revenue, cancelled)
assert ask("count(*)", "invoices__dead") == (1478,)
revenue, = ask("round(sum(revenue), 2)", "revenue_by_country")
assert str(revenue) == "4397950.76", revenue
"#;
    let output = Command::new(python).args(["-c", script]).arg(data.join("lake")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
