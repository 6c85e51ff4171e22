//! A small catalog that tests ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use base::time::SystemClock;
use datafusion::catalog::{MemTable, TableProvider};

use crate::catalog::{Catalog, Snapshot};
use crate::context::ContextSettings;
use crate::engine::Engine;

/// 2026-01-05 10:00:00 UTC in microseconds.
pub(crate) const TEN_US: i64 = 1_767_607_200_000_000;

/// Two tables of a shop, one of the program, and two that always agree: each snapshot has its own
/// number, and both `left` and `right` have as many rows as it says.
#[derive(Default)]
pub(crate) struct Sample {
    asked: AtomicI64,
}

impl Catalog for Sample {
    fn snapshot(&self) -> Arc<Snapshot> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) % 50 + 1;
        let mut snapshot = Snapshot::default();
        snapshot.tables.insert("orders".to_owned(), orders());
        snapshot.tables.insert("sales_by_minute".to_owned(), sales());
        for name in ["left_side", "right_side"] {
            let numbers: Vec<i64> = (0..number).collect();
            let rows = table(vec![("n", Arc::new(Int64Array::from(numbers)) as ArrayRef)]);
            snapshot.tables.insert(name.to_owned(), rows);
        }
        let names = StringViewArray::from(vec!["orders"]);
        let streams = table(vec![("name", Arc::new(names) as ArrayRef)]);
        snapshot.system.insert("streams".to_owned(), Arc::clone(&streams));
        snapshot.system.insert("orders".to_owned(), streams);
        Arc::new(snapshot)
    }
}

/// An engine over the sample.
pub(crate) fn engine() -> Engine {
    let settings = ContextSettings { partitions: 2, ..ContextSettings::default() };
    Engine::new(&settings, Arc::new(Sample::default()), SystemClock::start()).unwrap()
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Arc<dyn TableProvider> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|it| (it.0, it.1, true)))
            .unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

fn times(seconds: &[i64]) -> ArrayRef {
    let values = seconds.iter().map(|it| TEN_US + it * 1_000_000);
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn money(cents: Vec<Option<i128>>) -> ArrayRef {
    Arc::new(Decimal128Array::from(cents).with_precision_and_scale(12, 2).unwrap())
}

fn orders() -> Arc<dyn TableProvider> {
    table(vec![
        ("order_id", Arc::new(StringViewArray::from(vec!["1", "2", "3"])) as ArrayRef),
        ("ts", times(&[10, 50, 70])),
        ("region", Arc::new(StringViewArray::from(vec![Some("FR"), Some("DE"), None]))),
        ("quantity", Arc::new(Int64Array::from(vec![2, 1, 5]))),
        ("total", money(vec![Some(2_000), Some(1_050), None])),
        ("is_gift", Arc::new(BooleanArray::from(vec![true, false, false]))),
    ])
}

fn sales() -> Arc<dyn TableProvider> {
    table(vec![
        ("minute", times(&[0, 60])),
        ("orders", Arc::new(Int64Array::from(vec![2, 1])) as ArrayRef),
        ("_final", Arc::new(BooleanArray::from(vec![true, false]))),
    ])
}
