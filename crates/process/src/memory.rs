//! Storage in memory: for `mainstem test`, and for tests that must see every step of the hand-over.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use base::Epoch;
use datafusion::catalog::{MemTable, TableProvider};
use parking_lot::Mutex;
use rows::sink::{Actions, Change, Replace, Sink, SinkError};

use crate::setup::{Grown, GrownPart, GrownRows, Storage};

/// A table in memory that keeps the promises of a [`Sink`].
#[derive(Debug)]
pub struct MemoryTable {
    name: String,
    schema: SchemaRef,
    /// Whether committed rows stay.
    keeps: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// With the epoch that added them.
    rows: Vec<(Epoch, RecordBatch)>,
    committed: Epoch,
    prepared: BTreeMap<u64, Change>,
    prepared_count: u64,
    commits: Vec<Epoch>,
    /// What a build heard of last.
    told: Vec<(Epoch, RecordBatch)>,
}

impl MemoryTable {
    /// Makes an empty table.
    pub fn new(name: &str, schema: SchemaRef) -> Arc<MemoryTable> {
        Arc::new(MemoryTable {
            name: name.to_owned(),
            schema,
            keeps: true,
            inner: Mutex::default(),
        })
    }

    /// Makes a table whose rows leave memory when they are committed, as on a disk, but that nobody
    /// can read again: for measurements.
    pub(crate) fn forgetful(name: &str, schema: SchemaRef) -> Arc<MemoryTable> {
        Arc::new(MemoryTable {
            name: name.to_owned(),
            schema,
            keeps: false,
            inner: Mutex::default(),
        })
    }

    /// Returns the table as the storage of a flow's table.
    pub fn storage(self: &Arc<Self>) -> Storage {
        let table = Arc::clone(self);
        Storage { sink: Arc::clone(self) as _, cold: Arc::new(move || table.provider()) }
    }

    /// Returns the committed rows.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.inner.lock().rows.iter().map(|(_, it)| it.clone()).collect()
    }

    /// Takes the rows of another table in the place of all of its own.
    pub fn adopt(&self, built: &MemoryTable, epoch: Epoch) {
        let rows = built.rows().into_iter().map(|it| (epoch, it)).collect();
        let mut inner = self.inner.lock();
        inner.rows = rows;
        inner.committed = epoch;
        inner.commits.push(epoch);
    }

    /// Returns the epochs in the order in which they were committed.
    pub fn commits(&self) -> Vec<Epoch> {
        self.inner.lock().commits.clone()
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        self.provider_of(self.rows())
    }

    fn provider_of(&self, rows: Vec<RecordBatch>) -> Arc<dyn TableProvider> {
        let schema = Arc::clone(&self.schema);
        Arc::new(
            MemTable::try_new(schema, vec![rows])
                .expect("`prepare` refuses rows of another schema"),
        )
    }

    fn refused(&self, reason: String) -> SinkError {
        SinkError::Refused { sink: format!("table `{}` in memory", self.name), reason }
    }
}

#[async_trait]
impl Sink for MemoryTable {
    async fn prepare(&self, _: Epoch, mut change: Change) -> Result<Actions, SinkError> {
        for lot in std::mem::take(&mut change.more) {
            for place in 0..lot.batches() {
                let read = lot.read(place).map_err(|error| SinkError::Unavailable {
                    sink: format!("table `{}` in memory", self.name),
                    reason: error.to_string(),
                })?;
                change.rows.extend(read);
            }
        }
        let wrong = change.rows.iter().find(|it| it.schema().fields() != self.schema.fields());
        if let Some(batch) = wrong {
            let (found, wanted) = (batch.schema(), &self.schema);
            return Err(self.refused(format!("its schema is {wanted}, not {found}")));
        }
        let mut inner = self.inner.lock();
        inner.prepared_count += 1;
        let id = inner.prepared_count;
        inner.prepared.insert(id, change);
        Ok(Actions(serde_json::Value::from(id)))
    }

    async fn commit(&self, epoch: Epoch, actions: Actions) -> Result<(), SinkError> {
        let mut inner = self.inner.lock();
        if epoch <= inner.committed {
            return Ok(());
        }
        let id = actions.0.as_u64().unwrap_or_default();
        let Some(change) = inner.prepared.remove(&id) else {
            return Err(self.refused(format!("nothing was prepared under {id}")));
        };
        match &change.replace {
            Replace::Nothing => {}
            Replace::All => inner.rows.clear(),
            Replace::Windows { column, starts, span_us } => {
                let kept = inner
                    .rows
                    .iter()
                    .map(|(of, it)| Ok((*of, without(it, column, starts, *span_us)?)));
                inner.rows = kept
                    .collect::<Result<_, _>>()
                    .map_err(|reason: String| self.refused(reason))?;
            }
        }
        let rows = change.rows.into_iter().filter(|it| 0 < it.num_rows());
        if self.keeps {
            inner.rows.extend(rows.map(|it| (epoch, it)));
        }
        inner.committed = epoch;
        inner.commits.push(epoch);
        Ok(())
    }

    async fn committed(&self) -> Result<Epoch, SinkError> {
        Ok(self.inner.lock().committed)
    }
}

#[async_trait]
impl Grown for MemoryTable {
    async fn renew(&self) -> Result<Epoch, SinkError> {
        self.committed().await
    }

    fn rows(&self, after: Option<Epoch>, until: Epoch) -> Result<GrownRows, SinkError> {
        let inner = self.inner.lock();
        let is_in =
            |it: &&(Epoch, RecordBatch)| after.is_none_or(|after| after < it.0) && it.0 <= until;
        let of: Vec<&(Epoch, RecordBatch)> = inner.rows.iter().filter(is_in).collect();
        let part = |(epoch, rows): &&(Epoch, RecordBatch)| GrownPart {
            rows: rows.num_rows() as u64,
            epoch: Some(*epoch),
            times_us: times_of(rows),
        };
        let parts = of.iter().map(part).collect();
        Ok(GrownRows { rows: self.provider_of(of.iter().map(|it| it.1.clone()).collect()), parts })
    }

    fn moved(&self) -> Result<Arc<dyn TableProvider>, SinkError> {
        let mut inner = self.inner.lock();
        let now = inner.rows.clone();
        let before = std::mem::replace(&mut inner.told, now.clone());
        let came = now.iter().filter(|it| !before.contains(it));
        let moved = came.chain(before.iter().filter(|it| !now.contains(it)));
        Ok(self.provider_of(moved.map(|(_, it)| it.clone()).collect()))
    }
}

/// Returns the bounds of the timestamp columns.
fn times_of(rows: &RecordBatch) -> BTreeMap<String, (i64, i64)> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let bounds = columns.filter_map(|(field, column)| {
        let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        let bounds = (arrow::compute::min(times)?, arrow::compute::max(times)?);
        Some((field.name().clone(), bounds))
    });
    bounds.collect()
}

/// Returns the rows that are not of these windows.
fn without(
    batch: &RecordBatch,
    column: &str,
    starts: &[i64],
    span_us: i64,
) -> Result<RecordBatch, String> {
    let Some(array) = batch.column_by_name(column) else {
        return Err(format!("there is no column `{column}`"));
    };
    let Some(values) = array.as_primitive_opt::<TimestampMicrosecondType>() else {
        return Err(format!("the column `{column}` holds no timestamps"));
    };
    let is_in = |time: i64| starts.iter().any(|it| (*it..it + span_us).contains(&time));
    let keep: BooleanArray = values.iter().map(|it| Some(!it.is_some_and(is_in))).collect();
    filter_record_batch(batch, &keep).map_err(|error| error.to_string())
}
