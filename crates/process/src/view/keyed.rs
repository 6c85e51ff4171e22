//! Rows of one key among those of a view that are not stored yet.
//!
//! Hot rows come and go with every tick. A lot of them that is asked for again and again is sorted
//! by key once; one that is new with each tick, as totals are, is searched as it is.

use std::ops::Bound;
use std::sync::Arc;

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

/// Finds hot rows of one table by key, from view to view.
#[derive(Debug)]
pub struct HotKeys {
    keyed: Arc<Keyed>,
    known: Mutex<Vec<Known>>,
}

/// A lot of rows that a view had when somebody asked.
#[derive(Debug)]
struct Known {
    rows: RecordBatch,
    searches: u32,
    sorted: Option<Arc<Sorted>>,
}

#[derive(Debug)]
struct Sorted {
    coded: Coded,
    /// The rows by key.
    order: Vec<u32>,
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
        view: &TableView,
        key: &[u8],
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<Vec<HotRow>> {
        let mut found = Vec::new();
        let mut search = |rows: &RecordBatch, sorted: Option<&Sorted>| match sorted {
            Some(sorted) => sorted.find(rows, key, &mut found),
            None => self.search(rows, key, &mut found),
        };
        for (rows, sorted) in self.lots(view)? {
            search(&rows, sorted.as_deref())?;
        }
        for spilled in &view.spilled {
            for rows in spilled.read_all()? {
                search(&rows, None)?;
            }
        }
        found.retain(|it| is_within(&it.sort, bounds));
        found.sort_by(|one, other| one.sort.cmp(&other.sort));
        Ok(found)
    }

    /// Returns the lots of a view, sorted where that is worth it.
    fn lots(&self, view: &TableView) -> Result<Vec<(RecordBatch, Option<Arc<Sorted>>)>> {
        let mut known = self.known.lock();
        let mut still = Vec::with_capacity(view.hot.len());
        for rows in &view.hot {
            let place = known.iter().position(|it| is_same(&it.rows, rows));
            let mut lot = match place {
                Some(place) => known.swap_remove(place),
                None => Known { rows: rows.clone(), searches: 0, sorted: None },
            };
            lot.searches = lot.searches.saturating_add(1);
            let is_worth = rows.num_rows() <= SMALL_ROWS || SEARCHES_MAX < lot.searches;
            if lot.sorted.is_none() && is_worth {
                lot.sorted = Some(Arc::new(Sorted::new(&self.keyed, rows)?));
            }
            still.push(lot);
        }
        let lots = still.iter().map(|it| (it.rows.clone(), it.sorted.clone())).collect();
        *known = still;
        Ok(lots)
    }

    fn search(&self, rows: &RecordBatch, key: &[u8], found: &mut Vec<HotRow>) -> Result<()> {
        let wanted = Scalar::new(self.keyed.key_value(key)?);
        let is_it = eq(rows.column(self.keyed.key_column()), &wanted)?;
        for row in is_it.values().set_indices().filter(|it| is_it.is_valid(*it)) {
            let row = rows.slice(row, 1);
            let sort = self.keyed.code_keys(&row)?.sort(0).to_vec();
            found.push(HotRow { sort, row });
        }
        Ok(())
    }
}

impl Sorted {
    fn new(keyed: &Keyed, rows: &RecordBatch) -> Result<Sorted> {
        let coded = keyed.code_keys(rows)?;
        let count = u32::try_from(rows.num_rows())
            .map_err(|_too_many| DataFusionError::Internal("a lot of too many rows".to_owned()))?;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by(|one, other| coded.key(*one as usize).cmp(coded.key(*other as usize)));
        Ok(Sorted { coded, order })
    }

    fn find(&self, rows: &RecordBatch, key: &[u8], found: &mut Vec<HotRow>) -> Result<()> {
        let from = self.order.partition_point(|it| self.coded.key(*it as usize) < key);
        let of_key = self.order.iter().skip(from).map(|it| *it as usize);
        for row in of_key.take_while(|it| self.coded.key(*it) == key) {
            found.push(HotRow { sort: self.coded.sort(row).to_vec(), row: rows.slice(row, 1) });
        }
        Ok(())
    }
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
