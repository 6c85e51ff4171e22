//! Rows found by key are those that the table has, whatever was stored, replaced and lost.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use base::Clock as _;
use proptest::prelude::*;
use rows::keyed::Given;
use rows::sink::Replace;

use super::*;
use crate::history::AsOf;
use crate::table::tests::{MINUTE_US, Row, ask, batch, clock, lake_at, layout, open};

const REGIONS: [&str; 4] = ["de", "fr", "f", ""];

async fn serve(folder: &Path) -> (Serving, Arc<Served>) {
    let table = open(&folder.join("lake"), layout("sales")).await;
    let serving = Serving::open(&folder.join("served")).unwrap();
    let served = serve_in(&serving, table).await;
    (serving, served)
}

async fn serve_in(serving: &Serving, table: Arc<LakeTable>) -> Arc<Served> {
    let keyed = Keyed::new(crate::table::tests::schema(), "region", Some("minute")).unwrap();
    let served = serving.table(table, Arc::new(keyed)).await.unwrap();
    settled(&served).await;
    served
}

async fn settled(served: &Arc<Served>) {
    while served.building().is_some() {
        tokio::task::yield_now().await;
    }
}

async fn put(served: &Arc<Served>, epoch: u64, change: Change) {
    let sink = ServedSink(Arc::clone(served));
    let actions = sink.prepare(Epoch(epoch), change).await.unwrap();
    sink.commit(Epoch(epoch), actions).await.unwrap();
}

/// Returns the minute and the orders of each row of a region, in the order in which they are found.
fn find(served: &Served, region: &str, descending: bool) -> Vec<(Option<i64>, i64)> {
    let key = served.keyed().key_of(Given::Text(region)).unwrap();
    let bounds = (Bound::Unbounded, Bound::Unbounded);
    read(served, served.find(&key, bounds, descending).unwrap())
}

fn read(served: &Served, reading: Reading) -> Vec<(Option<i64>, i64)> {
    let found: Vec<FoundRow> = reading.map(Result::unwrap).collect();
    if found.is_empty() {
        return Vec::new();
    }
    let rows = served.keyed().read(found.iter().map(|it| &*it.row)).unwrap();
    let minutes = rows.column(0).as_primitive::<TimestampMicrosecondType>();
    let orders: &Int64Array = rows.column(2).as_primitive::<Int64Type>();
    (0..rows.num_rows())
        .map(|it| (minutes.is_valid(it).then(|| minutes.value(it)), orders.value(it)))
        .collect()
}

/// What stands in the table, by region, in the order of the minutes.
async fn stored(served: &Served, region: &str) -> Vec<String> {
    let sql = format!("SELECT orders FROM t WHERE region = '{region}'");
    ask(served.table(), &sql).await
}

async fn check(served: &Arc<Served>) {
    settled(served).await;
    for region in REGIONS {
        let found = find(served, region, false);
        let mut orders: Vec<String> = found.iter().map(|it| it.1.to_string()).collect();
        orders.sort();
        assert_eq!(orders, stored(served, region).await, "{region}");
        assert!(found.is_sorted_by_key(|it| it.0), "{found:?}");
        let mut back = find(served, region, true);
        back.reverse();
        assert_eq!(back, found);
    }
}

#[tokio::test]
async fn rows_of_a_key_are_found_in_their_order_and_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let (_serving, served) = serve(folder.path()).await;
    let row = |minute: i64, region, orders| (Some(minute * MINUTE_US), Some(region), orders, None);
    let rows = [row(3, "fr", 1), row(-1, "fr", 2), row(3, "de", 3), row(3, "fr", 4)];
    put(&served, 1, Change::new(vec![batch(&rows)], Replace::Nothing)).await;
    put(&served, 2, Change::new(vec![batch(&[row(0, "fr", 5)])], Replace::Nothing)).await;
    let orders = |it: Vec<(Option<i64>, i64)>| it.into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(orders(find(&served, "fr", false)), [2, 5, 1, 4]);
    assert_eq!(orders(find(&served, "f", false)), [0_i64; 0]);
    let key = served.keyed().key_of(Given::Text("fr")).unwrap();
    let sort = |text| served.keyed().sort_of(Given::Text(text)).unwrap().unwrap();
    let (zero, three) = (sort("1970-01-01T00:00:00Z"), sort("1970-01-01T00:03:00Z"));
    let cases = [
        ((Bound::Included(&zero[..]), Bound::Excluded(&three[..])), vec![5]),
        ((Bound::Excluded(&zero[..]), Bound::Unbounded), vec![1, 4]),
        ((Bound::Included(&three[..]), Bound::Included(&three[..])), vec![1, 4]),
        ((Bound::Included(&three[..]), Bound::Excluded(&zero[..])), vec![]),
        ((Bound::Unbounded, Bound::Excluded(&zero[..])), vec![2]),
    ];
    for (bounds, expected) in cases {
        let found = read(&served, served.find(&key, bounds, false).unwrap());
        assert_eq!(orders(found), expected, "{bounds:?}");
    }
    check(&served).await;
}

#[tokio::test]
async fn a_lost_index_is_built_again_and_one_of_other_columns_too() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, served) = serve(folder.path()).await;
    let rows: Vec<Row> = (0..100)
        .map(|it| (Some(it * MINUTE_US), Some(REGIONS[it as usize % 4]), it, None))
        .collect();
    put(&served, 3, Change::new(vec![batch(&rows)], Replace::Nothing)).await;
    let table = Arc::clone(served.table());
    serving.forget("sales").unwrap();
    drop(served);
    let served = serve_in(&serving, Arc::clone(&table)).await;
    assert_eq!(served.epoch(), Epoch(3));
    check(&served).await;
    // What the table takes while nobody tells the index is found by looking.
    let actions = table.prepare(Epoch(4), Change::new(vec![batch(&rows)], Replace::Nothing)).await;
    table.commit(Epoch(4), actions.unwrap()).await.unwrap();
    served.settle().await.unwrap();
    check(&served).await;
    let by_orders = Keyed::new(crate::table::tests::schema(), "orders", None).unwrap();
    let by_orders = serving.table(table, Arc::new(by_orders)).await.unwrap();
    settled(&by_orders).await;
    let key = by_orders.keyed().key_of(Given::Text("7")).unwrap();
    let found = by_orders.find(&key, (Bound::Unbounded, Bound::Unbounded), false).unwrap();
    assert_eq!(found.count(), 2);
    serving.retain(&BTreeSet::new()).unwrap();
    assert_eq!(serving.database.list_keyspace_names().len(), 1);
}

#[tokio::test]
async fn rows_that_the_table_no_longer_keeps_leave_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let lake = lake_at(&folder.path().join("lake"), &clock);
    let kept = Span::from_millis(60 * 60 * 1_000);
    let layout = crate::Layout { keep: Some(kept), ..layout("sales") };
    let serving = Serving::open(&folder.path().join("served")).unwrap();
    let served = serve_in(&serving, lake.table(layout).await.unwrap()).await;
    let now_us = i64::try_from(clock.now_ms()).unwrap() * 1_000;
    let rows: Vec<Row> =
        (0..10).map(|it| (Some(now_us - it * 20 * MINUTE_US), Some("fr"), it, None)).collect();
    put(&served, 1, Change::new(vec![batch(&rows)], Replace::Nothing)).await;
    assert_eq!(served.expire(clock.now_ms()).await.unwrap(), 6);
    assert_eq!(find(&served, "fr", false).len(), 4);
}

#[tokio::test]
async fn what_is_gone_back_to_is_found_by_key_with_what_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (serving, served) = serve(folder.path()).await;
    let row = |orders: i64| (Some(orders * MINUTE_US), Some("fr"), orders, None);
    for epoch in 1..4 {
        let rows = batch(&[row(i64::try_from(epoch).unwrap())]);
        put(&served, epoch, Change::new(vec![rows], Replace::Nothing)).await;
    }
    let orders = |served: &Served| -> Vec<i64> {
        find(served, "fr", false).into_iter().map(|it| it.1).collect()
    };
    let missing = served.restore(AsOf::Version(99)).await.unwrap_err();
    assert!(missing.to_string().contains("is not written yet"), "{missing}");
    assert_eq!(orders(&served), [1, 2, 3], "nothing is built for a version that is not there");
    let restored = served.restore(AsOf::Version(1)).await.unwrap();
    assert_eq!((restored.rows_before, restored.rows), (3, 1));
    // An epoch that comes while the index is being built is in it too.
    put(&served, 4, Change::new(vec![batch(&[row(4)])], Replace::Nothing)).await;
    settled(&served).await;
    assert_eq!(orders(&served), [1, 4]);
    let forth = served.restore(AsOf::Version(3)).await.unwrap();
    settled(&served).await;
    assert_eq!((forth.rows_before, forth.rows), (2, 3));
    assert_eq!(orders(&served), [1, 2, 3]);
    // Twice changes nothing, and nothing is built.
    served.restore(AsOf::Version(3)).await.unwrap();
    assert!(served.building().is_none());
    check(&served).await;
    drop((serving, served));
    let (_serving, served) = serve(folder.path()).await;
    assert_eq!(orders(&served), [1, 2, 3]);
}

/// What an epoch does.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(i64, usize)>),
    Windows(Vec<i64>, Vec<(i64, usize)>),
    All(Vec<(i64, usize)>),
    Restart,
    /// The table has it, the index does not: the program ended in between.
    Lost(Vec<(i64, usize)>),
    Forget,
    /// The table goes back to one of its versions.
    Back(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = || prop::collection::vec((-3_i64..6, 0..REGIONS.len()), 0..6);
    let step = prop_oneof![
        4 => rows().prop_map(Step::Append),
        3 => (prop::collection::vec(-3_i64..6, 1..4), rows()).prop_map(|(it, rows)| Step::Windows(it, rows)),
        1 => rows().prop_map(Step::All),
        1 => Just(Step::Restart),
        1 => rows().prop_map(Step::Lost),
        1 => Just(Step::Forget),
        1 => (0..20_u64).prop_map(Step::Back),
    ];
    prop::collection::vec(step, 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_found_by_key_is_what_the_table_has(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (mut serving, mut served) = serve(folder.path()).await;
            for (number, step) in steps.into_iter().enumerate() {
                let epoch = number as u64 + 1;
                let rows = |rows: Vec<(i64, usize)>| -> Vec<RecordBatch> {
                    let rows = rows.iter().enumerate().map(|(place, (minute, region))| {
                        let orders = i64::try_from(number * 100 + place).unwrap();
                        (Some(minute * MINUTE_US), Some(REGIONS[*region]), orders, None)
                    });
                    vec![batch(&rows.collect::<Vec<Row>>())]
                };
                match step {
                    Step::Append(new) => {
                        put(&served, epoch, Change::new(rows(new), Replace::Nothing)).await;
                    }
                    Step::Windows(minutes, new) => {
                        let starts: Vec<i64> = minutes.iter().map(|it| it * MINUTE_US).collect();
                        // New rows are of the windows that are replaced.
                        let of = |it: &(i64, usize)| minutes.contains(&it.0);
                        let new = new.into_iter().filter(of).collect();
                        let column = "minute".to_owned();
                        let replace = Replace::Windows { column, starts, span_us: 1 };
                        put(&served, epoch, Change::new(rows(new), replace)).await;
                    }
                    Step::All(new) => {
                        put(&served, epoch, Change::new(rows(new), Replace::All)).await;
                    }
                    Step::Restart => {
                        drop((serving, served));
                        (serving, served) = serve(folder.path()).await;
                    }
                    Step::Lost(new) => {
                        let change = Change::new(rows(new), Replace::Nothing);
                        let table = Arc::clone(served.table());
                        let actions = table.prepare(Epoch(epoch), change).await.unwrap();
                        table.commit(Epoch(epoch), actions.clone()).await.unwrap();
                        drop((table, serving, served));
                        (serving, served) = serve(folder.path()).await;
                        // Recovery commits the last epoch again.
                        let sink = ServedSink(Arc::clone(&served));
                        sink.commit(Epoch(epoch), actions).await.unwrap();
                        served.settle().await.unwrap();
                    }
                    Step::Forget => {
                        serving.forget("sales").unwrap();
                        served.settle().await.unwrap();
                    }
                    Step::Back(version) => {
                        let newest = served.table().facts().version;
                        let asked = AsOf::Version(version % (newest + 1));
                        served.restore(asked).await.unwrap();
                    }
                }
                check(&served).await;
            }
        });
    }
}
