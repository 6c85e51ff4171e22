//! One version of a lookup's rows, and where the rows of each key stand among them: found once,
//! for every table that joins it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{and, take};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use parking_lot::Mutex;

/// The rows of one version.
pub(crate) struct LookupRows {
    pub(crate) rows: RecordBatch,
    pub(crate) validity: Option<Validity>,
    indices: Mutex<Vec<(Vec<usize>, Arc<Index>)>>,
}

/// The columns that say when a row is valid: from the one on, up to the other. Of the rows of one
/// key at most one is valid at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl fmt::Debug for LookupRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.num_rows();
        f.debug_struct("LookupRows").field("rows", &rows).finish_non_exhaustive()
    }
}

impl LookupRows {
    pub(crate) fn new(rows: RecordBatch, validity: Option<Validity>) -> LookupRows {
        LookupRows { rows, validity, indices: Mutex::default() }
    }

    /// Returns the index by these columns; made at the first call.
    pub(crate) fn index(&self, columns: &[usize]) -> Result<Arc<Index>> {
        let mut indices = self.indices.lock();
        if let Some((_, index)) = indices.iter().find(|(it, _)| it == columns) {
            return Ok(Arc::clone(index));
        }
        let keys: Vec<ArrayRef> = self.rows.project(columns)?.columns().to_vec();
        let since = self.validity.and_then(|it| self.rows.columns().get(it.from));
        let index = Arc::new(Index::new(keys, since.map(Arc::clone).as_ref())?);
        indices.push((columns.to_vec(), Arc::clone(&index)));
        Ok(index)
    }

    /// Takes an index over that was made before.
    pub(crate) fn with_index(self, columns: Vec<usize>, index: Index) -> LookupRows {
        self.indices.lock().push((columns, Arc::new(index)));
        self
    }

    /// Makes the indices that an earlier version was asked for, so that no tick waits for them.
    pub(crate) fn prepare_like(&self, before: &LookupRows) -> Result<()> {
        let wanted: Vec<Vec<usize>> =
            before.indices.lock().iter().map(|(columns, _)| columns.clone()).collect();
        wanted.iter().try_for_each(|it| self.index(it).map(|_| ()))
    }
}

/// Where the rows of each key stand. Rows without a key are nowhere: NULL equals nothing.
pub(crate) struct Index {
    pub(crate) keys: Vec<ArrayRef>,
    /// Rows, those of a key beside each other, by the time from which they are valid.
    order: Vec<u32>,
    /// That time of each row of `order`; empty if rows are always valid.
    since: Vec<i64>,
    groups: HashMap<u64, Group, BuildHasherDefault<AsIs>>,
    pub(crate) nulls: Vec<u32>,
}

/// The rows of one hash: those of one key, but for one in billions.
#[derive(Debug, Clone, Copy)]
struct Group {
    from: u32,
    to: u32,
    is_mixed: bool,
}

/// The keys are hashes already.
#[derive(Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("rows", &self.order.len()).finish_non_exhaustive()
    }
}

/// Returns the hashes of the rows of these columns, and which rows have a value in all of them.
pub(crate) fn hashes(keys: &[ArrayRef]) -> Result<(Vec<u64>, Option<BooleanArray>)> {
    let rows = keys.first().map_or(0, Array::len);
    let mut hashes = vec![0; rows];
    create_hashes(keys, &RandomState::with_seed(0), &mut hashes)?;
    let mut valid: Option<BooleanArray> = None;
    for key in keys.iter().filter(|it| 0 < it.logical_null_count()) {
        let own = arrow::compute::is_not_null(key)?;
        valid = Some(match valid {
            None => own,
            Some(valid) => and(&valid, &own)?,
        });
    }
    Ok((hashes, valid))
}

impl Index {
    /// Finds the rows of each key; `since` says from when each is valid.
    pub(crate) fn new(keys: Vec<ArrayRef>, since: Option<&ArrayRef>) -> Result<Index> {
        let (hashes, valid) = hashes(&keys)?;
        let Ok(rows) = u32::try_from(hashes.len()) else {
            return internal_err!("a lookup has at most 4 billion rows");
        };
        let is_valid = |row: &u32| valid.as_ref().is_none_or(|it| it.value(*row as usize));
        let (mut order, nulls): (Vec<u32>, Vec<u32>) = (0..rows).partition(is_valid);
        let since = since.map(|it| it.as_primitive::<TimestampMicrosecondType>().values().clone());
        let hash = |row: u32| hashes.get(row as usize).copied().unwrap_or_default();
        let begins = |row: u32| since.as_ref().and_then(|it| it.get(row as usize)).copied();
        // The row's number last: the order of the file stays among equals.
        order.sort_unstable_by_key(|row| (hash(*row), begins(*row), *row));
        let mut groups: HashMap<u64, Group, BuildHasherDefault<AsIs>> =
            HashMap::with_capacity_and_hasher(order.len(), BuildHasherDefault::default());
        for (place, row) in (0..).zip(&order) {
            let group = Group { from: place, to: place, is_mixed: false };
            groups.entry(hash(*row)).or_insert(group).to = place + 1;
        }
        let since = match since {
            Some(_) => order.iter().filter_map(|row| begins(*row)).collect(),
            None => Vec::new(),
        };
        let mut index = Index { keys, order, since, groups, nulls };
        index.find_mixed(&hashes)?;
        Ok(index)
    }

    /// Marks the groups in which rows of several keys stand.
    fn find_mixed(&mut self, hashes: &[u64]) -> Result<()> {
        if self.groups.len() == self.order.len() || self.order.is_empty() {
            return Ok(());
        }
        let rows = self.order.len() - 1;
        let ordered = UInt32Array::from(self.order.clone());
        for key in &self.keys {
            let sorted = take(key, &ordered, None)?;
            let is_next_same = eq(&sorted.slice(0, rows), &sorted.slice(1, rows))?;
            for (pair, is_same) in self.order.array_windows().zip(is_next_same.values()) {
                let [one, next] = pair.map(|it| hashes.get(it as usize).copied());
                if let (false, Some(hash), true) = (is_same, one, one == next)
                    && let Some(group) = self.groups.get_mut(&hash)
                {
                    group.is_mixed = true;
                }
            }
        }
        Ok(())
    }

    /// Returns the rows that may have a key of this hash; with a moment, if it can be told, the one
    /// that is valid then.
    pub(crate) fn candidates(&self, hash: u64, at: Option<i64>) -> &[u32] {
        let Some(group) = self.groups.get(&hash) else { return &[] };
        let range = group.from as usize..group.to as usize;
        let rows = self.order.get(range.clone()).unwrap_or_default();
        let (Some(at), false) = (at, group.is_mixed) else { return rows };
        let Some(since) = self.since.get(range) else { return rows };
        let begun = since.partition_point(|it| *it <= at);
        begun.checked_sub(1).and_then(|last| rows.get(last..begun)).unwrap_or_default()
    }

    /// Returns whether rows can be told apart by a moment.
    pub(crate) fn has_times(&self) -> bool {
        !self.since.is_empty()
    }

    /// Returns for each row the next of the same key, in the order of their times.
    pub(crate) fn followers(&self) -> Result<Vec<(u32, u32)>> {
        let mut pairs = Vec::new();
        for group in self.groups.values().filter(|it| 1 < it.to - it.from) {
            let rows = self.order.get(group.from as usize..group.to as usize).unwrap_or_default();
            if !group.is_mixed {
                pairs.extend(rows.array_windows().map(|[one, next]| (*one, *next)));
                continue;
            }
            for (place, row) in rows.iter().enumerate() {
                let after = rows.get(place + 1..).unwrap_or_default();
                pairs.extend(self.next_alike(*row, after)?.map(|it| (*row, it)));
            }
        }
        pairs.sort_unstable();
        Ok(pairs)
    }

    /// Returns the first of these rows that has the key of `row`.
    fn next_alike(&self, row: u32, after: &[u32]) -> Result<Option<u32>> {
        for other in after {
            if self.compare(row, *other)? == Ordering::Equal {
                return Ok(Some(*other));
            }
        }
        Ok(None)
    }

    fn compare(&self, one: u32, other: u32) -> Result<Ordering> {
        for key in &self.keys {
            let options = arrow::compute::SortOptions::default();
            let compare = arrow::array::make_comparator(key, key, options)
                .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))?;
            let found = compare(one as usize, other as usize);
            if found != Ordering::Equal {
                return Ok(found);
            }
        }
        Ok(Ordering::Equal)
    }
}
