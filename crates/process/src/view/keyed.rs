//! Rows of one key among those of a view that are not stored yet.
//!
//! ```text
//! view ──► lots (the batches of ticks) ──► entries (hash of the key, lot, row) in sorted runs
//! ```
//!
//! Hot rows come and go with every tick, and are asked for thousands of times a second. A view that
//! was asked is remembered: the next one's new lots are one more run, and runs of about the same
//! length become one, so that a search looks into a few of them however many ticks an epoch has
//! (the logarithmic method of Bentley and Saxe). A large lot that is new with each tick, as totals
//! are, is searched as it is until it was asked for often enough.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::{Array, AsArray, RecordBatch, Scalar};
use arrow::compute::kernels::cmp::eq;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::{DataFusionError, Result};
use parking_lot::Mutex;
use rows::keyed::{Coded, Keyed};

use crate::view::{Hides, TableView};

/// A lot that was searched so often is worth sorting.
const SEARCHES_MAX: u32 = 8;

/// Small lots are sorted at once: most of them stay for thousands of reads.
const SMALL_ROWS: usize = 8_192;

/// Entries of rows that are gone are let be up to this many, and up to as many as there are others.
const GONE_MAX: usize = 16_384;

/// Finds hot rows of one table by key, from view to view.
#[derive(Debug)]
pub struct HotKeys {
    keyed: Arc<Keyed>,
    known: Mutex<Arc<Index>>,
}

/// Where the rows of one view are.
#[derive(Debug, Default)]
struct Index {
    /// The view; it is not kept alive.
    view: Weak<TableView>,
    /// Its lots by number, each with its place in the view.
    lots: BTreeMap<u64, (usize, Arc<Lot>)>,
    /// Those that are searched as they are.
    plain: Vec<(usize, Arc<Lot>)>,
    /// Sorted entries of the lots that are worth it, longer runs first; perhaps some of lots that
    /// are gone.
    runs: Vec<Arc<[Entry]>>,
    /// The number of the next lot.
    next: u64,
}

/// Rows that came together.
#[derive(Debug)]
struct Lot {
    rows: RecordBatch,
    /// Keys and sort values, if its rows are in the runs.
    coded: Option<Coded>,
    searches: AtomicU32,
}

/// A row in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u64,
    lot: u64,
    row: u32,
}

/// A hot row of a key.
#[derive(Debug, Clone)]
pub struct HotRow {
    /// Its sort value.
    pub sort: Vec<u8>,
    /// The row, alone.
    pub row: RecordBatch,
}

impl HotKeys {
    /// Returns one for a table whose rows are found so.
    pub fn new(keyed: Arc<Keyed>) -> HotKeys {
        HotKeys { keyed, known: Mutex::default() }
    }

    /// Returns the hot rows of a key within the bounds, in the order of their sort values, and then
    /// of their coming.
    ///
    /// # Errors
    /// When rows on disk cannot be read.
    pub fn find(
        &self,
        view: &Arc<TableView>,
        key: &[u8],
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Vec<HotRow>> {
        let index = self.index_of(view)?;
        let mut places = index.find(key);
        let mut found = Vec::new();
        for (place, lot) in &index.plain {
            lot.searches.fetch_add(1, Ordering::Relaxed);
            places.extend(self.search(&lot.rows, key)?.into_iter().map(|row| (*place, row, lot)));
        }
        places.sort_by_key(|(place, row, _)| (*place, *row));
        for (_, row, lot) in places {
            found.push(self.row(&lot.rows, lot.coded.as_ref(), row)?);
        }
        for spilled in &view.spilled {
            for rows in spilled.read_all()? {
                for row in self.search(&rows, key)? {
                    found.push(self.row(&rows, None, row)?);
                }
            }
        }
        found.retain(|it| is_within(&it.sort, bounds));
        found.sort_by(|one, other| one.sort.cmp(&other.sort));
        Ok(found)
    }

    /// Returns the index of a view; that of the view before is carried on to it.
    fn index_of(&self, view: &Arc<TableView>) -> Result<Arc<Index>> {
        let mut known = self.known.lock();
        if !known.is_of(view) || known.has_more_to_sort() {
            *known = Arc::new(known.carried_on(view, &self.keyed)?);
        }
        Ok(Arc::clone(&known))
    }

    /// Returns the places of a key's rows in a lot that is not sorted.
    fn search(&self, rows: &RecordBatch, key: &[u8]) -> Result<Vec<usize>> {
        let wanted = Scalar::new(self.keyed.key_value(key)?);
        let is_it = eq(rows.column(self.keyed.key_column()), &wanted)?;
        Ok(is_it.values().set_indices().filter(|it| is_it.is_valid(*it)).collect())
    }

    fn row(&self, rows: &RecordBatch, coded: Option<&Coded>, row: usize) -> Result<HotRow> {
        let alone = rows.slice(row, 1);
        let sort = match coded {
            Some(coded) => coded.sort(row).to_vec(),
            None => self.keyed.code_keys(&alone)?.sort(0).to_vec(),
        };
        Ok(HotRow { sort, row: alone })
    }
}

impl Index {
    fn is_of(&self, view: &Arc<TableView>) -> bool {
        std::ptr::eq(self.view.as_ptr(), Arc::as_ptr(view))
    }

    /// Returns whether a lot was searched as it is more often than sorting it would have cost.
    fn has_more_to_sort(&self) -> bool {
        self.plain.iter().any(|(_, it)| SEARCHES_MAX < it.searches.load(Ordering::Relaxed))
    }

    /// Returns the places of a key's rows in the lots that are sorted.
    fn find(&self, key: &[u8]) -> Vec<(usize, usize, &Arc<Lot>)> {
        let hash = hash_of(key);
        let mut found = Vec::new();
        for run in &self.runs {
            let from = run.partition_point(|it| it.hash < hash);
            for entry in run.iter().skip(from).take_while(|it| it.hash == hash) {
                let Some((place, lot)) = self.lots.get(&entry.lot) else { continue };
                let row = entry.row as usize;
                if lot.coded.as_ref().is_some_and(|it| it.key(row) == key) {
                    found.push((*place, row, lot));
                }
            }
        }
        found
    }

    /// Makes the index of a view that comes after, or before.
    fn carried_on(&self, view: &Arc<TableView>, keyed: &Keyed) -> Result<Index> {
        let mut known: HashMap<usize, Vec<(u64, &Arc<Lot>)>> = HashMap::new();
        for (number, (_, lot)) in &self.lots {
            known.entry(address_of(&lot.rows)).or_default().push((*number, lot));
        }
        let mut index = Index {
            view: Arc::downgrade(view),
            runs: self.runs.clone(),
            next: self.next,
            ..Index::default()
        };
        let mut new = Vec::new();
        for (place, rows) in view.hot.iter().enumerate() {
            let same = known.get_mut(&address_of(rows)).and_then(|lots| {
                let at = lots.iter().position(|(_, lot)| is_same(&lot.rows, rows))?;
                Some(lots.swap_remove(at))
            });
            let searches = same.map_or(0, |(_, lot)| lot.searches.load(Ordering::Relaxed));
            match same {
                Some((number, lot)) if lot.coded.is_some() || searches <= SEARCHES_MAX => {
                    index.lots.insert(number, (place, Arc::clone(lot)));
                }
                _ => {
                    let is_worth = rows.num_rows() <= SMALL_ROWS || SEARCHES_MAX < searches;
                    let coded = if is_worth { Some(keyed.code_keys(rows)?) } else { None };
                    if let Some(coded) = &coded {
                        add_entries(&mut new, index.next, coded, rows.num_rows())?;
                    }
                    let searches = AtomicU32::new(searches);
                    let lot = Arc::new(Lot { rows: rows.clone(), coded, searches });
                    index.lots.insert(index.next, (place, lot));
                    index.next += 1;
                }
            }
        }
        let plain = index.lots.values().filter(|(_, lot)| lot.coded.is_none());
        index.plain = plain.cloned().collect();
        index.sweep();
        index.add_run(new);
        Ok(index)
    }

    /// Adds a run, and joins it with those before it that are not much longer.
    fn add_run(&mut self, mut run: Vec<Entry>) {
        if run.is_empty() {
            return;
        }
        run.sort_unstable();
        while let Some(last) = self.runs.pop_if(|last| last.len() <= run.len() * 2) {
            let mut joined = Vec::with_capacity(last.len() + run.len());
            joined.extend_from_slice(&last);
            joined.append(&mut run);
            // Two sorted halves, which the sort finds and merges.
            joined.sort();
            run = joined;
        }
        self.runs.push(run.into());
    }

    /// Lets go of the entries of lots that are gone, once there are many.
    fn sweep(&mut self) {
        let sorted = self.lots.values().filter(|(_, lot)| lot.coded.is_some());
        let there: usize = sorted.map(|(_, lot)| lot.rows.num_rows()).sum();
        let all: usize = self.runs.iter().map(|it| it.len()).sum();
        if all <= there.saturating_mul(2).saturating_add(GONE_MAX) {
            return;
        }
        let lots = &self.lots;
        for run in &mut self.runs {
            let left = run.iter().filter(|it| lots.contains_key(&it.lot)).copied();
            *run = left.collect();
        }
        self.runs.retain(|it| !it.is_empty());
    }
}

fn add_entries(to: &mut Vec<Entry>, lot: u64, coded: &Coded, rows: usize) -> Result<()> {
    let count = u32::try_from(rows)
        .map_err(|_too_many| DataFusionError::Internal("a lot of too many rows".to_owned()))?;
    to.extend((0..count).map(|row| Entry { hash: hash_of(coded.key(row as usize)), lot, row }));
    Ok(())
}

fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl TableView {
    /// Returns whether no stored row is shown: the hot ones are the whole table.
    pub fn hides_all(&self) -> bool {
        matches!(self.hides, Hides::All)
    }

    /// Returns for each of these stored rows whether it is shown, or a hot one has its place.
    pub fn shows(&self, stored: &RecordBatch) -> Vec<bool> {
        match &self.hides {
            Hides::Nothing => vec![true; stored.num_rows()],
            Hides::All => vec![false; stored.num_rows()],
            Hides::Windows { column, starts, span_us } => {
                let times = stored.columns().get(*column);
                let times = times.and_then(|it| it.as_primitive_opt::<TimestampMicrosecondType>());
                let is_shown = |row: usize| {
                    let Some(times) = times.filter(|it| it.is_valid(row)) else { return true };
                    let time = times.value(row);
                    let start = starts.range(..=time).next_back();
                    start.is_none_or(|it| it.saturating_add(*span_us) <= time)
                };
                (0..stored.num_rows()).map(is_shown).collect()
            }
        }
    }
}

/// Returns where the first column lies in memory.
fn address_of(rows: &RecordBatch) -> usize {
    rows.columns().first().map_or(0, |it| Arc::as_ptr(it).cast::<()>() as usize)
}

/// Returns whether both are the very same rows in memory.
fn is_same(one: &RecordBatch, other: &RecordBatch) -> bool {
    one.num_rows() == other.num_rows()
        && one.columns().iter().zip(other.columns()).all(|(one, other)| Arc::ptr_eq(one, other))
}

/// Returns whether a sort value is within the bounds.
fn is_within(sort: &[u8], (from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    let is_after = match from {
        Bound::Unbounded => true,
        Bound::Included(from) => from <= sort,
        Bound::Excluded(from) => from < sort,
    };
    is_after
        && match to {
            Bound::Unbounded => true,
            Bound::Included(to) => sort <= to,
            Bound::Excluded(to) => sort < to,
        }
}
