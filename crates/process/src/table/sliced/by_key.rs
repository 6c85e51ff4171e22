//! A join near in time that goes by a key: where rows come, what has their keys is computed again, and
//! no more of the slices they lie in.
//!
//! Keys are told apart by hashes: two keys of one hash are computed together, which is as right.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use base::Name;
use datafusion::catalog::TableProvider;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::LogicalPlan;

use crate::hot::compact;
use crate::operator::Start;
use crate::pipe;
use crate::plan::TablePlan;
use crate::plan::slices::Slices;
use crate::plan::slices::keyed::{Keyed, keyed};
use crate::table::Step;
use crate::table::sliced::{Dirty, Sliced};

/// Batches of one slice; beyond it they are made one.
const BATCHES_MAX: usize = 16;

/// New rows of more than this part of all keys are computed with all the others.
const SHARE: usize = if cfg!(test) { 0 } else { 4 };

/// See the module.
#[derive(Debug)]
pub(crate) struct ByKey {
    keyed: Keyed,
    /// The keys of new rows; none if something else changed too.
    fresh: Option<HashSet<u64>>,
    /// The keys of the rows of slices in memory, batch by batch.
    hashes: BTreeMap<Start, Vec<Arc<[u64]>>>,
    /// How often it was brought up to date like that.
    looks: u64,
}

/// Keys to be found among many rows.
pub(crate) struct Keys<'a> {
    all: &'a HashSet<u64>,
    /// A bit for each key, at the place that its hash says: most others have none there.
    bits: Vec<u64>,
}

impl<'a> Keys<'a> {
    fn new(all: &'a HashSet<u64>) -> Keys<'a> {
        let words = (all.len() / 4).next_power_of_two().max(16);
        let mut bits = vec![0; words];
        for key in all {
            if let Some(word) = bits.get_mut(place(*key, words)) {
                *word |= 1 << (key & 63);
            }
        }
        Keys { all, bits }
    }

    pub(crate) fn contains(&self, key: u64) -> bool {
        let word = self.bits.get(place(key, self.bits.len())).copied().unwrap_or_default();
        word & (1 << (key & 63)) != 0 && self.all.contains(&key)
    }
}

fn place(key: u64, words: usize) -> usize {
    usize::try_from(key >> 6).unwrap_or_default() & (words - 1)
}

/// Returns a number for each value: the same for equal values.
pub(crate) fn hashes(keys: &ArrayRef) -> Result<Vec<u64>> {
    let mut hashes = vec![0; keys.len()];
    create_hashes([keys], &RandomState::default(), &mut hashes)?;
    Ok(hashes)
}

/// Takes the last column off, the key, and returns its hashes.
pub(super) fn split_off(rows: &RecordBatch) -> Result<(RecordBatch, Option<Vec<u64>>)> {
    let last = rows.num_columns().saturating_sub(1);
    let hashes = hashes(rows.column(last))?;
    let rest: Vec<usize> = (0..last).collect();
    Ok((rows.project(&rest)?, Some(hashes)))
}

/// Puts hashes beside rows, as their last column.
pub(super) fn beside(rows: &RecordBatch, hashes: Vec<u64>) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("_hash", DataType::UInt64, false)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from(hashes)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

impl ByKey {
    pub(super) fn of(plan: &TablePlan, slices: &Slices) -> Option<ByKey> {
        if plan.asks_time || slices.rows_back.is_some() {
            return None;
        }
        let keyed = keyed(&plan.select, &slices.links)?;
        Some(ByKey { keyed, fresh: Some(HashSet::new()), hashes: BTreeMap::new(), looks: 0 })
    }

    pub(super) fn plan(&self) -> &LogicalPlan {
        &self.keyed.plan
    }

    pub(super) fn column(&self, table: &Name) -> Option<String> {
        self.keyed.columns.get(table).cloned()
    }

    /// Returns the bytes of the keys of its rows.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.hashes.values().flatten().map(|it| it.len());
        rows.sum::<usize>() * size_of::<u64>()
    }

    /// Notes new rows of a table.
    pub(super) fn note(&mut self, table: &Name, rows: &RecordBatch) -> Result<()> {
        let column = self.keyed.columns.get(table).and_then(|it| rows.column_by_name(it));
        let Some(column) = column else {
            return internal_err!("`{table}` lacks the column that it is joined by");
        };
        if let Some(fresh) = &mut self.fresh {
            fresh.extend(hashes(column)?);
        }
        Ok(())
    }

    /// Notes that something else changed than what has the keys of new rows.
    pub(super) fn forget(&mut self) {
        self.fresh = None;
    }

    /// Notes that all is up to date.
    pub(super) fn computed(&mut self) {
        self.fresh = Some(HashSet::new());
    }

    pub(super) fn keep(&mut self, is_wanted: impl Fn(Start) -> bool) {
        self.hashes.retain(|start, _| is_wanted(*start));
    }

    /// Takes the hashes off the rows of a slice, and keeps them.
    pub(super) fn set(
        &mut self,
        start: Start,
        rows: &[RecordBatch],
        schema: &SchemaRef,
    ) -> Vec<RecordBatch> {
        let (mut kept, mut of_rows) = (Vec::new(), Vec::new());
        for batch in rows {
            let (rows, hashes) = without_hashes(batch, schema);
            kept.push(rows);
            of_rows.push(hashes);
        }
        self.hashes.insert(start, of_rows);
        kept
    }
}

fn without_hashes(batch: &RecordBatch, schema: &SchemaRef) -> (RecordBatch, Arc<[u64]>) {
    let hashes = batch.columns().last().and_then(|it| it.as_primitive_opt::<UInt64Type>());
    let hashes = hashes.map(|it| Arc::from(it.values().as_ref())).unwrap_or_default();
    let columns = batch.columns().iter().take(schema.fields().len()).map(Arc::clone);
    let rows = RecordBatch::try_new(Arc::clone(schema), columns.collect());
    (rows.unwrap_or_else(|_one_more_column| batch.clone()), hashes)
}

impl Sliced {
    /// Computes of these slices what has the keys of new rows; returns those that must be computed
    /// whole.
    pub(super) async fn compute_by_key(
        &mut self,
        slices: &BTreeSet<Start>,
        step: &Step<'_>,
    ) -> Result<BTreeSet<Start>> {
        let Some(by_key) = &self.by_key else { return Ok(slices.clone()) };
        let Some(fresh) = by_key.fresh.clone() else { return Ok(slices.clone()) };
        let (known, rest): (BTreeSet<Start>, BTreeSet<Start>) =
            slices.iter().partition(|it| self.is_known(**it));
        let rows: usize = self.recent.values().map(crate::table::recent::Recent::count).sum();
        if known.is_empty() || rows < fresh.len() * SHARE {
            return Ok(slices.clone());
        }
        let keys = Keys::new(&fresh);
        let dirty = Dirty::Slices(known);
        let made = match self.run_keys(&keys, &dirty, step).await {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(slices.clone()),
            Err(error) if pipe::is_of_rows(&error) => return Ok(slices.clone()),
            Err(error) => return Err(error),
        };
        self.by_key.iter_mut().for_each(|it| it.looks += 1);
        let mut of_slices = self.split(&made)?;
        if let Dirty::Slices(known) = dirty {
            for start in known {
                let new = of_slices.remove(&start).unwrap_or_default();
                self.replace_keys(start, &keys, &new, step)?;
            }
        }
        Ok(rest)
    }

    #[cfg(test)]
    pub(crate) fn looks_by_key(&self) -> u64 {
        self.by_key.as_ref().map_or(0, |it| it.looks)
    }

    /// Returns whether the rows of a slice and their keys are in memory, all of them.
    fn is_known(&self, start: Start) -> bool {
        if self.rows.is_over(start) || self.failed.contains_key(&start) {
            return false;
        }
        let Some(shown) = self.rows.shown(start) else { return true };
        let hashes = self.by_key.as_ref().and_then(|it| it.hashes.get(&start));
        let hashes = hashes.map(Vec::as_slice).unwrap_or_default();
        let rows = shown.rows.iter().map(RecordBatch::num_rows);
        shown.spilled.is_none() && rows.eq(hashes.iter().map(|it| it.len()))
    }

    async fn run_keys(
        &self,
        keys: &Keys<'_>,
        dirty: &Dirty,
        step: &Step<'_>,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let Some(by_key) = &self.by_key else { return Ok(None) };
        let mut found: BTreeMap<&Name, Arc<dyn TableProvider>> = BTreeMap::new();
        for link in &self.slices.links {
            let from = self.ranges(dirty, link).first().map(|(from, _)| *from);
            let recent = self.recent.get(&link.table).zip(from);
            let Some((recent, from)) = recent.filter(|(it, from)| it.covers(*from)) else {
                return Ok(None);
            };
            let Some(stored) = (step.tables)(link.table.as_str()) else { return Ok(None) };
            let Some(table) = recent.table_of(&stored.schema(), from, keys)? else {
                return Ok(None);
            };
            found.insert(&link.table, table);
        }
        let table = |name: &str| {
            let own = found.iter().find(|(it, _)| ***it == *name);
            own.map(|(_, it)| Arc::clone(it)).or_else(|| (step.tables)(name))
        };
        let bound = pipe::bind(&by_key.keyed.plan, &table)?;
        self.run_bound(bound, dirty, step).await.map(Some)
    }

    /// Replaces the rows of a slice that have these keys.
    fn replace_keys(
        &mut self,
        start: Start,
        keys: &Keys<'_>,
        new: &[RecordBatch],
        step: &Step<'_>,
    ) -> Result<()> {
        let Some(by_key) = &mut self.by_key else { return Ok(()) };
        let known = by_key.hashes.get(&start).cloned().unwrap_or_default();
        let shown = self.rows.shown(start).map(|it| it.rows.clone()).unwrap_or_default();
        let (mut rows, mut of_rows) = (Vec::new(), Vec::new());
        let mut is_changed = !new.is_empty();
        for (batch, hashes) in shown.into_iter().zip(known) {
            let stays: BooleanArray = hashes.iter().map(|it| Some(!keys.contains(*it))).collect();
            if stays.true_count() == batch.num_rows() {
                rows.push(batch);
                of_rows.push(hashes);
                continue;
            }
            is_changed = true;
            if 0 < stays.true_count() {
                let left = hashes.iter().copied().filter(|it| !keys.contains(*it));
                of_rows.push(left.collect());
                rows.push(filter_record_batch(&batch, &stays)?);
            }
        }
        if !is_changed {
            return Ok(());
        }
        for batch in new {
            let (batch, hashes) = without_hashes(batch, &self.plan.schema);
            rows.push(batch);
            of_rows.push(hashes);
        }
        if BATCHES_MAX < rows.len() {
            rows = vec![compact(&concat_batches(&self.plan.schema, &rows)?)];
            of_rows = vec![of_rows.iter().flat_map(|it| it.iter().copied()).collect()];
        }
        by_key.hashes.insert(start, of_rows);
        self.rows.touch(start, step.epoch);
        self.rows.set(start, rows);
        Ok(())
    }
}
