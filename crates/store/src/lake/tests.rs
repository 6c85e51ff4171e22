//! Tests of the whole: killed at any step and started again, against a model, and read by others.

use std::process::Command;

use base::Epoch;
use proptest::prelude::*;
use rows::sink::{Actions, Change, Replace, Sink};

use super::*;
use crate::Partition;
use crate::disk::Step;
use crate::disk::tests::watched;
use crate::table::tests::{MINUTE_US, Row, append, ask, batch, clock, lake, layout, open, put};

const BUDGET: Duration = Duration::from_secs(60);

fn small() -> Settings {
    Settings {
        replaced_kept: Duration::ZERO,
        file_bytes_max: 1 << 20,
        compact_files_min: 3,
        checkpoint_commits: 3,
    }
}

/// What epoch `epoch` does in the tests that are killed.
fn change(epoch: u64) -> Change {
    let number = i64::try_from(epoch).unwrap();
    let rows: [Row; 2] =
        [(Some(number % 3 * MINUTE_US), None, number, None), (None, Some(""), number, Some(1))];
    let replace = match epoch {
        3 => {
            Replace::Windows { column: "minute".to_owned(), starts: vec![0, MINUTE_US], span_us: 1 }
        }
        5 => Replace::All,
        _ => Replace::Nothing,
    };
    Change::new(vec![batch(&rows)], replace)
}

const EPOCHS: u64 = 6;

fn expected() -> Vec<String> {
    ["5", "5", "6", "6"].map(str::to_owned).into()
}

/// Runs a table as a flow does, from what the last run left, until it is done or killed.
async fn run(folder: &Path, disk: Disk, checkpoint: &mut Option<(u64, Actions)>) -> bool {
    run_with(folder, small(), disk, checkpoint).await
}

async fn run_with(
    folder: &Path,
    settings: Settings,
    disk: Disk,
    checkpoint: &mut Option<(u64, Actions)>,
) -> bool {
    let clock: Arc<dyn Clock> = Arc::new(clock());
    let Ok(lake) = Lake::on_disk(folder, settings, clock, disk) else { return false };
    let Ok(table) = lake.table(layout("t")).await else { return false };
    if let Some((epoch, actions)) = checkpoint.clone() {
        let Ok(committed) = table.committed().await else { return false };
        assert!(committed.0 <= epoch, "nothing is visible before it is in the checkpoint");
        if table.commit(Epoch(epoch), actions).await.is_err() {
            return false;
        }
    }
    let done = checkpoint.as_ref().map_or(0, |(epoch, _)| *epoch);
    for epoch in done + 1..=EPOCHS {
        let Ok(actions) = table.prepare(Epoch(epoch), change(epoch)).await else { return false };
        *checkpoint = Some((epoch, actions.clone()));
        if table.commit(Epoch(epoch), actions).await.is_err() {
            return false;
        }
        if lake.maintain(BUDGET).await.is_err() {
            return false;
        }
    }
    true
}

async fn killed_after(cuts: &[usize]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = None;
    let mut was_cut = false;
    for cut in cuts {
        let (disk, notes) = watched();
        notes.cut_after(*cut);
        was_cut = !run(folder.path(), disk, &mut checkpoint).await || notes.is_cut();
    }
    assert!(run(folder.path(), Disk::default(), &mut checkpoint).await);
    let table = open(folder.path(), layout("t")).await;
    assert_eq!(ask(&table, "SELECT orders FROM t").await, expected(), "killed after {cuts:?}");
    assert_eq!(table.committed().await.unwrap(), Epoch(EPOCHS));
    was_cut
}

#[tokio::test]
async fn killed_at_any_step_each_row_is_there_once() {
    let step = if std::env::var_os("SLOW").is_some() { 1 } else { 7 };
    let mut cut = 0;
    while killed_after(&[cut]).await {
        cut += step;
    }
    println!("killed at one of {cut} steps");
    assert!(60 < cut, "a run has more steps than {cut}");
}

#[tokio::test]
async fn killed_again_while_recovering_each_row_is_there_once() {
    let step = if std::env::var_os("SLOW").is_some() { 2 } else { 41 };
    for first in (5..100).step_by(step) {
        for again in [2, 7] {
            killed_after(&[first, again, again]).await;
        }
    }
}

#[tokio::test]
async fn what_a_version_names_was_synced_before() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, notes) = watched();
    let settings = Settings { replaced_kept: BUDGET, ..small() };
    assert!(run_with(folder.path(), settings, disk, &mut None).await);
    let names = notes.names();
    let position = |wanted: (Step, &str)| {
        names.iter().position(|(step, path)| (*step, path.as_str()) == wanted)
    };
    let log = folder.path().canonicalize().unwrap().join("t/_delta_log");
    let root = log.parent().unwrap();
    let mut files = 0;
    for version in 0..9 {
        let path = log.join(format!("{version:020}.json"));
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let published = position((Step::Publish, &path.display().to_string())).unwrap();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(file) = line["add"]["path"].as_str() else { continue };
            let file = root.join(file).display().to_string();
            let synced = position((Step::SyncFile, &file)).unwrap();
            let folder = (Step::SyncFolder, root.display().to_string());
            assert!(synced < published);
            assert!(names[synced..published].contains(&folder), "its name is durable too");
            files += 1;
        }
        assert_eq!(names[published + 1], (Step::SyncFolder, log.display().to_string()));
    }
    assert_ne!(files, 0);
}

/// What a test does to a table.
#[derive(Debug, Clone)]
enum Deed {
    Append(Vec<u8>),
    Windows(Vec<u8>, Vec<u8>),
    All(Vec<u8>),
    Forget(Vec<u8>),
    Again,
    Maintain,
    Restart,
    Rebuild,
}

fn deed() -> impl Strategy<Value = Deed> {
    let minutes = || prop::collection::vec(0_u8..6, 0..4);
    prop_oneof![
        4 => minutes().prop_map(Deed::Append),
        4 => (minutes(), minutes()).prop_map(|(a, b)| Deed::Windows(a, b)),
        1 => minutes().prop_map(Deed::All),
        1 => minutes().prop_map(Deed::Forget),
        1 => Just(Deed::Again),
        3 => Just(Deed::Maintain),
        2 => Just(Deed::Restart),
        1 => Just(Deed::Rebuild),
    ]
}

/// Rows of these minutes; minute 5 stands for none.
fn rows(minutes: &[u8], epoch: u64) -> Vec<(Option<i64>, i64)> {
    let minute = |it: u8| (it < 5).then(|| i64::from(it) * MINUTE_US);
    minutes.iter().map(|it| (minute(*it), i64::try_from(epoch).unwrap())).collect()
}

fn to_change(rows: &[(Option<i64>, i64)], replace: Replace) -> Change {
    let rows: Vec<Row> = rows.iter().map(|it| (it.0, Some("FR"), it.1, None)).collect();
    Change::new(vec![batch(&rows)], replace)
}

#[expect(clippy::too_many_lines, reason = "one arm a deed, beside the model of it")]
async fn follow(deeds: Vec<Deed>, unit: Option<spec::PartitionUnit>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut by = unit.map(|_| Partition { column: "minute".to_owned(), unit });
    let open = |by: Option<Partition>| {
        let clock: Arc<dyn Clock> = Arc::new(Arc::clone(&clock));
        let lake = Lake::open(folder.path(), small(), clock).unwrap();
        async move {
            let table = lake.table(Layout { partition: by, ..layout("t") }).await.unwrap();
            (lake, table)
        }
    };
    let (mut lake, mut table) = open(by.clone()).await;
    let mut model: Vec<(Option<i64>, i64)> = Vec::new();
    let mut epoch = 0;
    let mut last = None;
    for deed in deeds {
        epoch += 1;
        clock.advance(Duration::from_secs(7));
        let (new, replace) = match deed {
            Deed::Append(minutes) => (rows(&minutes, epoch), Replace::Nothing),
            Deed::All(minutes) => (rows(&minutes, epoch), Replace::All),
            Deed::Windows(minutes, starts) => {
                let starts = starts.iter().map(|it| i64::from(*it) * MINUTE_US).collect();
                (
                    rows(&minutes, epoch),
                    Replace::Windows { column: "minute".to_owned(), starts, span_us: 1 },
                )
            }
            Deed::Forget(minutes) => {
                let change = to_change(&rows(&minutes, epoch), Replace::All);
                table.prepare(Epoch(epoch), change).await.unwrap();
                continue;
            }
            Deed::Again => {
                if let Some((epoch, actions)) = last.clone() {
                    table.commit(epoch, actions).await.unwrap();
                }
                continue;
            }
            Deed::Maintain => {
                lake.maintain(BUDGET).await.unwrap();
                continue;
            }
            Deed::Restart => {
                (lake, table) = open(by.clone()).await;
                continue;
            }
            Deed::Rebuild => {
                let hour = Some(spec::PartitionUnit::Hour);
                let hours = Partition { column: "minute".to_owned(), unit: hour };
                by = if by.is_some() { None } else { Some(hours) };
                (lake, table) = open(by.clone()).await;
                continue;
            }
        };
        match &replace {
            Replace::Nothing => {}
            Replace::All => model.clear(),
            Replace::Windows { starts, .. } => {
                model.retain(|it| it.0.is_none_or(|it| !starts.contains(&it)));
            }
        }
        model.extend(&new);
        let actions = table.prepare(Epoch(epoch), to_change(&new, replace)).await.unwrap();
        table.commit(Epoch(epoch), actions.clone()).await.unwrap();
        last = Some((Epoch(epoch), actions));
    }
    let mut expected: Vec<String> = model
        .iter()
        .map(|(minute, orders)| {
            let minute = minute.map(|it| format!("1970-01-01T00:0{}:00Z", it / MINUTE_US));
            format!("{} {orders}", minute.unwrap_or_default())
        })
        .collect();
    expected.sort();
    let sql = "SELECT minute, orders FROM t";
    assert_eq!(ask(&table, sql).await, expected);
    let (_lake, table) = open(by).await;
    assert_eq!(ask(&table, sql).await, expected);
    assert_eq!(table.facts().rows, expected.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_deeds_leave_the_rows_of_the_model(
        deeds in prop::collection::vec(deed(), 1..14),
        is_by_day in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(deeds, is_by_day.then_some(spec::PartitionUnit::Day)));
    }
}

#[tokio::test]
async fn one_name_is_one_table_until_it_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let table = lake.table(layout("orders__dead")).await.unwrap();
    put(&table, 1, append(&[(None, None, 1, None)])).await;
    assert!(Arc::ptr_eq(&table, &lake.table(layout("orders__dead")).await.unwrap()));
    assert_eq!((table.name(), lake.tables().await.len()), ("orders__dead", 1));
    let name = Name::new("orders__dead").unwrap();
    let aside = lake.set_aside(&name).await.unwrap().unwrap();
    assert!(aside.join("_delta_log").is_dir());
    assert_eq!(lake.set_aside(&name).await.unwrap(), None);
    let table = lake.table(layout("orders__dead")).await.unwrap();
    assert_eq!((table.facts().rows, table.committed().await.unwrap()), (0, Epoch(0)));
}

const READ: &str = r#"
import sys, glob, os
from deltalake import DeltaTable
import duckdb, duckdb_extension_delta
folder = sys.argv[1]
table = DeltaTable(folder)
home = os.path.dirname(duckdb_extension_delta.__file__)
extension = glob.glob(home + '/**/delta.duckdb_extension', recursive=True)[0]
db = duckdb.connect(config={'allow_unsigned_extensions': 'true'})
db.execute(f"LOAD '{extension}'")
db.execute("SET TimeZone = 'UTC'")
sql = "SELECT count(*), sum(orders), sum(revenue), count(region), epoch_us(min(minute)), epoch_us(max(minute)) FROM "
print('duckdb', *db.execute(sql + f"delta_scan('{folder}')").fetchone())
print('version', table.version())
adds = table.get_add_actions(flatten=True)
print('files', adds.num_rows)
"#;

/// Returns the Python that `cargo xtask peers` makes, if it reads Delta tables.
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    let import = "import deltalake, duckdb_extension_delta";
    let imported = Command::new(&python).arg("-c").arg(import).output();
    if imported.is_ok_and(|it| it.status.success()) {
        return Some(python);
    }
    println!("SKIPPED: target/peers does not read Delta tables (cargo xtask peers)");
    None
}

#[tokio::test]
async fn other_programs_read_the_same_rows() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path(), small(), Arc::new(clock())).unwrap();
    let day = Partition { column: "minute".to_owned(), unit: Some(spec::PartitionUnit::Day) };
    let layout = Layout { partition: Some(day), ..layout("t") };
    let table = lake.table(layout).await.unwrap();
    for epoch in 1..=7_i64 {
        let rows: [Row; 3] = [
            (Some(epoch * 600 * MINUTE_US + 123), Some("é\"'"), epoch, Some(epoch.into())),
            (None, Some(""), 1, Some(99_999_999_999)),
            (Some(0), None, 100 + epoch, Some(-1)),
        ];
        let windows = Replace::Windows { column: "minute".to_owned(), starts: vec![0], span_us: 1 };
        let change = Change::new(vec![batch(&rows)], windows);
        put(&table, epoch.unsigned_abs(), change).await;
        if epoch == 5 {
            let done = lake.maintain(BUDGET).await.unwrap();
            assert!(0 < done.checkpoints && 0 < done.files_compacted, "{done:?}");
        }
    }
    let read = Command::new(python).arg("-c").arg(READ).arg(table.folder()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    let lines: Vec<&str> = out.lines().collect();
    let sums = "duckdb 15 142 7000000000.20 14 0 252000000123";
    let facts = table.facts();
    let (version, files) = (format!("version {}", facts.version), format!("files {}", facts.files));
    assert_eq!(lines, [sums, version.as_str(), files.as_str()], "{err}");
    let sql = "SELECT count(*), sum(orders), sum(revenue), count(region) FROM t";
    assert_eq!(ask(&table, sql).await, ["15 142 7000000000.20 14"]);
}
