use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use base::Clock;
use rows::sink::{Change, Replace, Sink};

use super::*;
use crate::disk::Disk;
use crate::disk::tests::watched;
use crate::lake::Settings;
use crate::table::tests::{MINUTE_US, append, ask, batch, clock, lake, layout, put, schema};

const BUDGET: Duration = Duration::from_secs(60);

/// Other columns, which the stored ones cannot become: `orders` is a text.
fn other() -> Layout {
    let stored = schema();
    let fields = stored.fields().iter().map(|it| match it.name().as_str() {
        "orders" => Field::new("orders", DataType::Utf8View, true),
        _ => it.as_ref().clone(),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Layout { schema, ..layout("t") }
}

fn others(layout: &Layout, texts: &[&str]) -> Change {
    let rows: Vec<_> = texts.iter().map(|_| (Some(MINUTE_US), Some("FR"), 0, None)).collect();
    let numbers = batch(&rows);
    let columns = numbers.columns().iter().zip(layout.schema.fields()).map(|(column, field)| {
        if field.name() == "orders" {
            Arc::new(arrow::array::StringViewArray::from(texts.to_vec())) as arrow::array::ArrayRef
        } else {
            Arc::clone(column)
        }
    });
    let columns = columns.collect();
    let rows = arrow::array::RecordBatch::try_new(Arc::clone(&layout.schema), columns).unwrap();
    Change { rows: vec![rows], more: Vec::new(), replace: Replace::Nothing }
}

#[tokio::test]
async fn what_was_built_takes_the_place_of_all_rows_with_other_columns() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let table = lake.table(layout("t")).await.unwrap();
    put(&table, 7, append(&[(None, None, 1, None), (None, None, 2, None)])).await;
    let before = table.provider();
    assert!(lake.table(other()).await.is_err(), "its columns cannot become those");

    let built = lake.build(other(), "3").await.unwrap();
    put(&built, 1, others(&other(), &["a", "b"])).await;
    put(&built, 2, others(&other(), &["c"])).await;
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1", "2"], "nothing shows before");
    let replaced = lake.adopt(other(), "3", Epoch(9)).await.unwrap().unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["a", "b", "c"]);
    assert_eq!(table.committed().await.unwrap(), Epoch(9));
    assert!(lake.adopt(other(), "3", Epoch(9)).await.unwrap().is_none(), "once");
    let session = datafusion::prelude::SessionContext::new();
    let old = session.read_table(before).unwrap().count().await.unwrap();
    assert_eq!(old, 2, "whoever reads the rows of before still finds them");

    // It is a table as any other: epochs, merging and a restart.
    put(&table, 10, others(&other(), &["d"])).await;
    lake.sweep_builds(|_| false).await.unwrap();
    lake.maintain(BUDGET).await.unwrap();
    let again = crate::table::tests::open(folder.path(), other()).await;
    assert_eq!(ask(&again, "SELECT orders FROM t").await, ["a", "b", "c", "d"]);

    lake.put_back(&replaced).await.unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1", "2"]);
    assert_eq!(table.committed().await.unwrap(), Epoch(7));
    put(&table, 8, append(&[(None, None, 3, None)])).await;
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_new_table_can_be_built_where_none_was() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let partition = crate::Partition { column: "region".to_owned(), unit: None };
    let by_country = Layout { partition: Some(partition), ..layout("t") };
    let built = lake.build(by_country.clone(), "1").await.unwrap();
    put(&built, 1, append(&[(None, Some("FR"), 1, None), (None, Some("DE"), 2, None)])).await;
    lake.adopt(by_country.clone(), "1", Epoch(5)).await.unwrap();
    let table = lake.table(by_country).await.unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t WHERE region = 'DE'").await, ["2"]);
}

#[tokio::test]
async fn what_is_left_of_a_build_goes() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let table = lake.table(layout("t")).await.unwrap();
    for build in ["3", "4"] {
        let built = lake.build(layout("t"), build).await.unwrap();
        put(&built, 1, append(&[(None, None, 1, None)])).await;
    }
    lake.adopt(layout("t"), "3", Epoch(1)).await.unwrap();
    lake.sweep_builds(|build| build == "4").await.unwrap();
    let root = folder.path().join("t");
    let is_there = |it: &str| root.join(it).try_exists().unwrap();
    assert!(!is_there("build-4"));
    assert!(is_there("build-3") && !is_there("build-3/_delta_log"));
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1"]);
    // One of the same name begins with nothing.
    let again = lake.build(layout("t"), "4").await.unwrap();
    assert_eq!(ask(&again, "SELECT orders FROM t").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_build_that_takes_long_is_not_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    let time = clock();
    let settings = Settings { replaced_kept: Duration::ZERO, ..Settings::default() };
    let lake = Lake::open(folder.path(), settings, Arc::new(Arc::clone(&time))).unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    let built = lake.build(layout("t"), "3").await.unwrap();
    put(&built, 1, append(&[(None, None, 1, None)])).await;
    put(&table, 7, append(&[(None, None, 2, None)])).await;
    for _ in 0..3 {
        time.advance(Duration::from_secs(60 * 60));
        lake.maintain(BUDGET).await.unwrap();
    }
    lake.adopt(layout("t"), "3", Epoch(9)).await.unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1"]);
}

#[tokio::test]
async fn a_pinned_table_is_read_epoch_by_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(
        folder.path(),
        Settings { compact_files_min: 2, ..Settings::default() },
        Arc::new(clock()) as Arc<dyn Clock>,
    );
    let lake = lake.unwrap();
    let table = lake.table(layout("t")).await.unwrap();
    let minute = |it: i64| append(&[(Some(it * MINUTE_US), None, it, None)]);
    for epoch in 1..=3 {
        put(&table, epoch, minute(i64::try_from(epoch).unwrap())).await;
    }
    assert_ne!(lake.maintain(BUDGET).await.unwrap().files_compacted, 0);
    let pinned = lake.pin(layout("t")).await.unwrap();
    for epoch in 4..=6 {
        put(&table, epoch, minute(i64::try_from(epoch).unwrap())).await;
    }
    assert_eq!(lake.maintain(BUDGET).await.unwrap().files_compacted, 0, "it is pinned");
    assert_eq!(pinned.renew().await.unwrap(), Epoch(6));
    let session = datafusion::prelude::SessionContext::new();
    let count = async |after: Option<u64>, until| {
        let (rows, files) = pinned.rows(after.map(Epoch), Epoch(until));
        assert!(files.iter().all(|it| it.times_us.contains_key("minute")));
        let told: u64 = files.iter().map(|it| it.rows).sum();
        assert_eq!(session.read_table(rows).unwrap().count().await.unwrap() as u64, told);
        (told, files.iter().map(|it| it.epoch.map(|it| it.0)).max().flatten())
    };
    assert_eq!(count(None, 3).await, (3, None), "merged files are of several epochs");
    assert_eq!(count(None, 5).await, (5, Some(5)));
    assert_eq!(count(Some(3), 5).await, (2, Some(5)));
    assert_eq!(count(Some(5), 5).await, (0, None));
    drop(pinned);
    assert_ne!(lake.maintain(BUDGET).await.unwrap().files_compacted, 0);
}

#[tokio::test]
async fn a_pinned_table_tells_which_rows_moved() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let table = lake.table(layout("t")).await.unwrap();
    let row = |minute: i64, orders| (Some(minute * MINUTE_US), None, orders, None);
    put(&table, 1, append(&[row(1, 10), row(2, 20)])).await;
    put(&table, 2, append(&[row(3, 30)])).await;
    let pinned = lake.pin(layout("t")).await.unwrap();
    let session = datafusion::prelude::SessionContext::new();
    let moved = async || {
        pinned.renew().await.unwrap();
        let moved = session.read_table(pinned.moved()).unwrap().collect().await.unwrap();
        let orders =
            moved.iter().flat_map(|it| it["orders"].as_primitive::<Int64Type>().values().to_vec());
        orders.collect::<BTreeSet<i64>>()
    };
    assert_eq!(moved().await, BTreeSet::from([10, 20, 30]), "at first all");
    assert_eq!(moved().await, BTreeSet::new());
    let windows = Replace::Windows {
        column: "minute".to_owned(),
        starts: vec![2 * MINUTE_US, 4 * MINUTE_US],
        span_us: 1,
    };
    put(&table, 3, Change::new(vec![batch(&[row(2, 21), row(4, 40)])], windows)).await;
    put(&table, 4, append(&[row(5, 50)])).await;
    let all = moved().await;
    assert!(all.is_superset(&BTreeSet::from([20, 21, 40, 50])), "{all:?}");
    assert!(!all.contains(&30), "its file stayed");
    put(&table, 5, Change::new(Vec::new(), Replace::All)).await;
    assert!(moved().await.is_superset(&BTreeSet::from([10, 21, 30, 40, 50])), "all went");
}

/// Adopts on a disk that stops after so many steps, then once more on one that does not.
async fn killed_after(cut: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(clock());
    let on = |disk: Disk| {
        Lake::on_disk(folder.path(), Settings::default(), Arc::clone(&clock), disk).unwrap()
    };
    let lake = on(Disk::default());
    put(&lake.table(layout("t")).await.unwrap(), 7, append(&[(None, None, 1, None)])).await;
    let built = lake.build(other(), "3").await.unwrap();
    put(&built, 1, others(&other(), &["a"])).await;
    let (disk, notes) = watched();
    notes.cut_after(cut);
    let done = on(disk).adopt(other(), "3", Epoch(9)).await.is_ok();
    let was_cut = !done || notes.is_cut();
    let lake = on(Disk::default());
    // The project before runs on, or the one that was built for.
    if let (false, Ok(table)) = (done, lake.table(layout("t")).await) {
        assert_eq!(ask(&table, "SELECT orders FROM t").await, ["1"], "cut after {cut}");
    }
    on(Disk::default()).adopt(other(), "3", Epoch(9)).await.unwrap();
    let table = on(Disk::default()).table(other()).await.unwrap();
    assert_eq!(ask(&table, "SELECT orders FROM t").await, ["a"], "cut after {cut}");
    was_cut
}

#[tokio::test]
async fn killed_at_any_step_it_is_the_one_or_the_other() {
    let mut cut = 0;
    while killed_after(cut).await {
        cut += 1;
    }
    assert!(1 < cut, "it has more steps than {cut}");
}
