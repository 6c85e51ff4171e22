//! The rows of a table's windows: shown while they fill, handed over when they are final, replaced
//! when they are corrected.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use base::Epoch;
use datafusion::common::Result;
use rows::sink::{Change, Lot, Replace};

use crate::hot::HotRows;
use crate::operator::Start;
use crate::plan::{TablePlan, WindowPlan};
use crate::spill::shown::Shown;
use crate::spill::{Spilled, Spills};
use crate::table::Hot;
use crate::view::Hides;

/// See the module.
///
/// A window is *open* until the watermark passes its end. Then it is *final*: its rows wait here
/// until the epoch that stores them is durable. A final window whose rows change is *corrected*: it
/// is replaced in the epoch that ends next.
#[derive(Debug)]
pub(crate) struct WindowRows {
    /// Which column is the start of the window, and what it is called.
    column: usize,
    name: String,
    size_us: i64,
    /// How far above its start the column may be in the rows of a window; 1 if it is the start.
    span_us: i64,
    /// Windows that end at or before it are final.
    pub(crate) watermark: Option<i64>,
    /// Windows that are open wherever the watermark is.
    held: BTreeSet<Start>,
    /// Final windows that were corrected, ever; once per window and epoch.
    pub(crate) corrections: u64,
    /// Open and corrected windows.
    hot: BTreeMap<Start, HotWindow>,
    /// Windows that became final and are not stored yet.
    finals: HotRows,
    /// Those of them that do not fit in memory.
    finals_on_disk: Vec<(Epoch, Start, Arc<Spilled>)>,
    /// The epoch that replaces the whole stored table.
    replaces_all: Option<Epoch>,
    /// Windows that changed since those who read the table were told.
    untold: BTreeSet<Start>,
}

/// The rows of a window that are not stored, or not stored like this.
#[derive(Debug)]
struct HotWindow {
    shown: Shown,
    /// Bytes of its rows in memory.
    bytes: usize,
    stage: Stage,
}

/// Rows of a window that are worth a file.
const BYTES_WORTH_IT: usize = if cfg!(test) { 1 } else { 16 << 10 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Corrected in this epoch.
    Corrected(Epoch),
}

impl WindowRows {
    pub(crate) fn new(plan: &TablePlan, window: &WindowPlan, span_us: i64) -> WindowRows {
        let (column, size_us) = (window.column, window.size_us);
        WindowRows {
            column,
            name: plan.schema.field(column).name().clone(),
            size_us,
            span_us,
            watermark: None,
            held: BTreeSet::new(),
            corrections: 0,
            hot: BTreeMap::new(),
            finals: HotRows::default(),
            finals_on_disk: Vec::new(),
            replaces_all: None,
            untold: BTreeSet::new(),
        }
    }

    /// Returns whether the watermark has passed the end of a window.
    pub(crate) fn is_over(&self, start: Start) -> bool {
        let is_passed = self.watermark.is_some_and(|it| start.saturating_add(self.size_us) <= it);
        is_passed && !self.held.contains(&start)
    }

    /// Says whether a window stays open though the watermark has passed its start.
    pub(crate) fn hold(&mut self, start: Start, is_held: bool) {
        if is_held {
            self.held.insert(start);
        } else {
            self.held.remove(&start);
        }
    }

    /// Returns the first window that is held.
    pub(crate) fn held(&self) -> Option<Start> {
        self.held.first().copied()
    }

    /// Forgets an open window: it is part of another now.
    pub(crate) fn drop_open(&mut self, start: Start) {
        if self.is_final(start) == Some(false) {
            self.hot.remove(&start);
            self.untold.insert(start);
        }
    }

    /// Notes that a window changes in this epoch.
    pub(crate) fn touch(&mut self, start: Start, epoch: Epoch) {
        self.untold.insert(start);
        let is_over = self.is_over(start);
        let stage = if is_over { Stage::Corrected(epoch) } else { Stage::Open };
        let before = self.hot.get_mut(&start);
        let is_counted = before.as_ref().is_some_and(|it| it.stage == stage);
        if is_over && !is_counted {
            self.corrections += 1;
            // What it was when it became final may not be stored yet.
            let column = self.column;
            let stretch = start..start.saturating_add(self.span_us);
            self.finals.remove(|rows| without_window(rows, column, &stretch));
            self.finals_on_disk.retain(|(_, it, _)| !stretch.contains(it));
        }
        match before {
            Some(hot) => hot.stage = stage,
            None => {
                let shown = Shown::default();
                self.hot.insert(start, HotWindow { shown, bytes: 0, stage });
            }
        }
    }

    /// Returns the open windows.
    pub(crate) fn open(&self) -> impl Iterator<Item = Start> {
        self.hot.iter().filter(|(_, it)| it.stage == Stage::Open).map(|(start, _)| *start)
    }

    /// Returns the end of the newest window in memory.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.hot.last_key_value().map(|(start, _)| start.saturating_add(self.size_us))
    }

    /// Returns whether a window in memory is final; none if it is not in memory.
    pub(crate) fn is_final(&self, start: Start) -> Option<bool> {
        self.hot.get(&start).map(|it| it.stage != Stage::Open)
    }

    /// Returns whether the window was corrected in this epoch.
    pub(crate) fn is_corrected(&self, start: Start, epoch: Epoch) -> bool {
        self.hot.get(&start).is_some_and(|it| it.stage == Stage::Corrected(epoch))
    }

    /// Replaces the rows of a window in memory.
    pub(crate) fn set(&mut self, start: Start, rows: Vec<RecordBatch>) {
        self.set_shown(start, Shown { rows, spilled: None });
    }

    /// Replaces the rows of a window, which may be on disk.
    pub(crate) fn set_shown(&mut self, start: Start, shown: Shown) {
        if let Some(hot) = self.hot.get_mut(&start) {
            hot.bytes = shown.bytes();
            hot.shown = shown;
        }
    }

    /// Returns the rows of a window in memory.
    pub(crate) fn shown(&self, start: Start) -> Option<&Shown> {
        self.hot.get(&start).map(|it| &it.shown)
    }

    /// Returns the bytes of rows of windows that may still change.
    pub(crate) fn open_bytes(&self) -> usize {
        self.hot.values().map(|it| it.bytes).sum()
    }

    /// Returns the bytes of rows on disk.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        let open = self.hot.values().filter_map(|it| it.shown.spilled.as_ref());
        let finals = self.finals_on_disk.iter().map(|(_, _, it)| it);
        open.chain(finals).map(|it| it.bytes()).sum()
    }

    /// Puts rows of windows on disk, the earliest first, until about so many bytes are free; returns
    /// how many.
    pub(crate) fn free(&mut self, bytes: usize, spills: &Spills) -> Result<usize> {
        let mut freed = 0;
        for hot in self.hot.values_mut().filter(|it| BYTES_WORTH_IT <= it.bytes) {
            if bytes <= freed {
                break;
            }
            hot.shown.spill(spills)?;
            freed += std::mem::take(&mut hot.bytes);
        }
        Ok(freed)
    }

    /// Takes the open windows out that the watermark has passed, the earliest first, with the rows
    /// they had last.
    pub(crate) fn take_over(&mut self) -> Vec<(Start, Shown)> {
        let over: Vec<Start> = self
            .hot
            .iter()
            .take_while(|(start, _)| self.watermark.is_some_and(|it| **start < it))
            .filter(|(start, hot)| hot.stage == Stage::Open && self.is_over(**start))
            .map(|(start, _)| *start)
            .collect();
        self.untold.extend(over.iter().copied());
        over.into_iter().filter_map(|it| Some((it, self.hot.remove(&it)?.shown))).collect()
    }

    /// Adds rows of a window that is final.
    pub(crate) fn push_final(&mut self, epoch: Epoch, rows: RecordBatch) {
        self.finals.push(epoch, rows);
    }

    /// Adds all rows of a window that is final.
    pub(crate) fn push_final_of(&mut self, epoch: Epoch, start: Start, shown: Shown) {
        shown.rows.into_iter().for_each(|it| self.finals.push(epoch, it));
        self.finals_on_disk.extend(shown.spilled.map(|it| (epoch, start, it)));
    }

    /// Forgets all windows; the epoch replaces the whole stored table.
    pub(crate) fn replace_all(&mut self, epoch: Epoch) {
        self.hot.clear();
        self.held.clear();
        self.finals = HotRows::default();
        self.finals_on_disk.clear();
        self.replaces_all = Some(epoch);
    }

    /// Returns the windows that changed since this was asked last.
    pub(crate) fn take_untold(&mut self) -> BTreeSet<Start> {
        std::mem::take(&mut self.untold)
    }

    /// Notes windows that are to be told later, when their rows are up to date.
    pub(crate) fn keep_untold(&mut self, starts: &BTreeSet<Start>) {
        self.untold.extend(starts);
    }

    pub(crate) fn change(&self, epoch: Epoch) -> Option<Change> {
        let change = self.finals.change(epoch);
        let mut rows = change.map(|it| it.rows).unwrap_or_default();
        let finals = self.finals_on_disk.iter().filter(|(of, _, _)| *of == epoch);
        let mut more: Vec<Arc<dyn Lot>> = finals.map(|(_, _, it)| Arc::clone(it) as _).collect();
        let mut starts = Vec::new();
        for (start, hot) in &self.hot {
            if hot.stage == Stage::Corrected(epoch) {
                rows.extend(hot.shown.rows.iter().cloned());
                more.extend(hot.shown.spilled.iter().map(|it| Arc::clone(it) as _));
                starts.push(*start);
            }
        }
        let replace = if self.replaces_all == Some(epoch) {
            Replace::All
        } else if starts.is_empty() {
            Replace::Nothing
        } else {
            Replace::Windows { column: self.name.clone(), starts, span_us: self.span_us }
        };
        let is_any = !rows.is_empty() || !more.is_empty() || replace != Replace::Nothing;
        is_any.then_some(Change { rows, more, replace })
    }

    pub(crate) fn stored(&mut self, epoch: Epoch) {
        self.hot.retain(|_, it| match it.stage {
            Stage::Open => true,
            Stage::Corrected(of) => epoch < of,
        });
        self.finals.stored(epoch);
        self.finals_on_disk.retain(|(of, _, _)| epoch < *of);
        if self.replaces_all.is_some_and(|it| it <= epoch) {
            self.replaces_all = None;
        }
    }

    /// Returns the rows that are shown on top of stored ones, and which of those they replace.
    pub(crate) fn hot(&self) -> Hot {
        let mut rows = self.finals.rows();
        rows.extend(self.hot.values().flat_map(|it| it.shown.rows.iter().cloned()));
        let open = self.hot.values().filter_map(|it| it.shown.spilled.as_ref());
        let spilled = self.finals_on_disk.iter().map(|(_, _, it)| it).chain(open);
        let spilled = spilled.map(Arc::clone).collect();
        Hot { rows, hides: self.hides(), spilled }
    }

    fn hides(&self) -> Hides {
        if self.replaces_all.is_some() {
            return Hides::All;
        }
        let is_correction = |it: &HotWindow| it.stage != Stage::Open;
        let starts: BTreeSet<i64> =
            self.hot.iter().filter(|(_, it)| is_correction(it)).map(|(start, _)| *start).collect();
        if starts.is_empty() {
            return Hides::Nothing;
        }
        Hides::Windows { column: self.column, starts: Arc::new(starts), span_us: self.span_us }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.finals.bytes()
    }

    /// Returns the number of windows in memory.
    pub(crate) fn windows(&self) -> usize {
        self.hot.len()
    }
}

/// Returns the rows with `_final`, their last column, as said.
pub(crate) fn marked(rows: &RecordBatch, is_final: bool) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    if let Some(last) = columns.last_mut() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![is_final; rows.num_rows()]));
        *last = flags;
    }
    RecordBatch::try_new(rows.schema(), columns).unwrap_or_else(|_same_types| rows.clone())
}

/// Returns the rows that are not of a window, or nothing if none is.
fn without_window(
    rows: &RecordBatch,
    column: usize,
    stretch: &Range<Start>,
) -> Option<RecordBatch> {
    let starts = rows.columns().get(column)?;
    let starts = starts.as_primitive_opt::<TimestampMicrosecondType>()?;
    let is_in = |it: Option<i64>| it.is_some_and(|it| stretch.contains(&it));
    if !starts.iter().any(is_in) {
        return None;
    }
    let keep: BooleanArray = starts.iter().map(|it| Some(!is_in(it))).collect();
    filter_record_batch(rows, &keep).ok()
}

/// Sorts rows by the windows they are of; `start` tells that of a value of the column.
pub(crate) fn split_by_start(
    rows: &[RecordBatch],
    column: usize,
    start: &dyn Fn(i64) -> Start,
) -> Result<BTreeMap<Start, Vec<RecordBatch>>, ArrowError> {
    let mut of_starts: BTreeMap<Start, Vec<RecordBatch>> = BTreeMap::new();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    for batch in rows {
        let values = cast(batch.column(column), &micros)?;
        let values = values.as_primitive::<TimestampMicrosecondType>();
        let mut places: BTreeMap<Start, Vec<u32>> = BTreeMap::new();
        let mut row = 0;
        while row < values.len() {
            let first = row;
            let moment = values.is_valid(first).then(|| values.value(first));
            // Rows of a window mostly stand together.
            while row < values.len() && moment == values.is_valid(row).then(|| values.value(row)) {
                row += 1;
            }
            if let Some(moment) = moment {
                let rows = (first..row).map(|it| u32::try_from(it).unwrap_or(u32::MAX));
                places.entry(start(moment)).or_default().extend(rows);
            }
        }
        for (start, places) in places {
            let part = take_record_batch(batch, &UInt32Array::from(places))?;
            of_starts.entry(start).or_default().push(part);
        }
    }
    Ok(of_starts)
}

/// Writes a moment as people read it.
pub(crate) fn rfc3339(micros: i64) -> String {
    match arrow::temporal_conversions::timestamp_us_to_datetime(micros) {
        Some(it) => format!("{}", it.and_utc().format("%Y-%m-%dT%H:%M:%S%.fZ")),
        None => format!("{micros} us"),
    }
}
