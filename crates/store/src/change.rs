//! A change of an epoch: what `prepare` hands out, and what it means for the table at `commit`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use rows::sink::{Actions, Replace};
use serde::{Deserialize, Serialize};

use crate::cluster;
use crate::disk::Disk;
use crate::error::Error;
use crate::file::{self, NewFile, Purpose, Writer};
use crate::log::Add;
use crate::partition::Split;
use crate::state::{LakeFile, State};

/// What stands in a checkpoint for one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    /// How the files lie; if the table lies otherwise at commit, they are written again.
    pub(crate) shape: String,
    /// Files that are written and synced.
    pub(crate) add: Vec<Add>,
    /// What they take the place of.
    pub(crate) replace: Replaced,
}

/// The same as `Replace`, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Replaced {
    Nothing,
    All,
    Windows {
        column: String,
        starts: Vec<i64>,
        #[serde(default = "one")]
        span_us: i64,
    },
}

/// Checkpoints of earlier programs know no other span.
fn one() -> i64 {
    1
}

/// Stretches of time whose rows are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretches {
    /// They rise.
    pub(crate) starts: Vec<i64>,
    pub(crate) span_us: i64,
}

impl Stretches {
    fn has(&self, time: i64) -> bool {
        let after = self.starts.partition_point(|it| *it <= time);
        let start = after.checked_sub(1).and_then(|it| self.starts.get(it));
        start.is_some_and(|it| time < it.saturating_add(self.span_us))
    }

    /// Returns whether one of them may hold a time of these.
    fn meets(&self, min: i64, max: i64) -> bool {
        let after = self.starts.partition_point(|it| *it <= max);
        let start = after.checked_sub(1).and_then(|it| self.starts.get(it));
        start.is_some_and(|it| min < it.saturating_add(self.span_us))
    }

    /// Returns whether one of them holds all of these times.
    fn holds(&self, min: i64, max: i64) -> bool {
        let after = self.starts.partition_point(|it| *it <= min);
        let start = after.checked_sub(1).and_then(|it| self.starts.get(it));
        start.is_some_and(|it| max < it.saturating_add(self.span_us))
    }
}

impl Prepared {
    pub(crate) fn to_actions(&self) -> Result<Actions, String> {
        serde_json::to_value(self).map(Actions).map_err(|it| it.to_string())
    }

    pub(crate) fn from_actions(actions: Actions) -> Result<Prepared, String> {
        let wrong = |it| format!("these actions are not of this sink: {it}");
        let mut prepared: Prepared = serde_json::from_value(actions.0).map_err(wrong)?;
        if let Replaced::Windows { starts, .. } = &mut prepared.replace {
            starts.sort_unstable();
            starts.dedup();
        }
        Ok(prepared)
    }

    /// Returns whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty()
            && match &self.replace {
                Replaced::Nothing => true,
                Replaced::All => false,
                Replaced::Windows { starts, .. } => starts.is_empty(),
            }
    }
}

impl From<Replace> for Replaced {
    fn from(replace: Replace) -> Replaced {
        match replace {
            Replace::Nothing => Replaced::Nothing,
            Replace::All => Replaced::All,
            Replace::Windows { column, mut starts, span_us } => {
                starts.sort_unstable();
                starts.dedup();
                Replaced::Windows { column, starts, span_us }
            }
        }
    }
}

/// What a file has to do with the windows that are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// No row of it is in one of them.
    Not,
    /// Every row of it is.
    Whole,
    /// Perhaps some are.
    Part,
}

/// Decides it from what is known of the file.
pub(crate) fn touch(file: &LakeFile, column: usize, stretches: &Stretches) -> Touch {
    if file.facts.as_ref().is_some_and(|it| it.rows == 0) {
        return Touch::Not;
    }
    let all_null = file.column(column).zip(file.facts.as_ref());
    if all_null.is_some_and(|(column, facts)| column.nulls == Some(facts.rows)) {
        return Touch::Not;
    }
    let Some(times) = file.times(column) else { return Touch::Part };
    if !stretches.meets(times.min, times.max) {
        return Touch::Not;
    }
    let is_whole = times.nulls == 0 && stretches.holds(times.min, times.max);
    if is_whole { Touch::Whole } else { Touch::Part }
}

/// Rows beyond memory are sorted into partitions so many bytes at a time: each makes files.
const SPLIT_BYTES: usize = 128 << 20;

/// Where and how files of a table are written; all that work away from the table's state needs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) disk: Disk,
    pub(crate) root: Arc<Path>,
    pub(crate) columns: SchemaRef,
    pub(crate) split: Option<Split>,
    /// The columns by which rows are ordered where files are merged.
    pub(crate) cluster: Vec<String>,
    pub(crate) file_bytes_max: u64,
}

impl Place {
    pub(crate) fn of(state: &State, disk: &Disk, root: &Path, file_bytes_max: u64) -> Place {
        Place {
            disk: disk.clone(),
            root: Arc::from(root),
            columns: Arc::clone(&state.columns),
            split: state.split.clone(),
            cluster: state.layout.rest.cluster.clone(),
            file_bytes_max,
        }
    }

    pub(crate) fn writer(&self, purpose: Purpose) -> Writer<'_> {
        let columns = Arc::clone(&self.columns);
        Writer::new(&self.disk, &self.root, columns, purpose, self.file_bytes_max)
    }

    /// Writes rows that are in the table's columns already. Waits for the disk.
    pub(crate) fn write(
        &self,
        purpose: Purpose,
        batches: Vec<RecordBatch>,
        more: impl Iterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<Vec<NewFile>, Error> {
        let mut writer = self.writer(purpose);
        if self.split.is_none() {
            writer.write(None, batches.into_iter().map(Ok).chain(more))?;
            return writer.finish();
        }
        self.write_split(&mut writer, batches)?;
        let (mut lot, mut bytes) = (Vec::new(), 0);
        for batch in more {
            let batch = batch?;
            bytes += batch.get_array_memory_size();
            lot.push(batch);
            if SPLIT_BYTES <= bytes {
                self.write_split(&mut writer, std::mem::take(&mut lot))?;
                bytes = 0;
            }
        }
        self.write_split(&mut writer, lot)?;
        writer.finish()
    }

    fn write_split(&self, writer: &mut Writer<'_>, rows: Vec<RecordBatch>) -> Result<(), Error> {
        let Some(split) = &self.split else {
            return writer.write(None, rows.into_iter().map(Ok));
        };
        let parts = split.apply(&rows).map_err(|reason| self.wrong(&reason))?;
        drop(rows);
        for (value, batches) in parts {
            let partition = (split.name.as_str(), value.as_deref());
            writer.write(Some(partition), batches.into_iter().map(Ok))?;
        }
        Ok(())
    }

    /// Writes again those rows of a file that `keep` chooses. Waits for the disk.
    pub(crate) fn write_again(
        &self,
        file: &LakeFile,
        keep: impl Fn(&RecordBatch) -> Result<Option<BooleanArray>, String>,
    ) -> Result<Vec<NewFile>, Error> {
        let kept = self.read(file, keep)?;
        let mut writer = self.writer(Purpose::Again);
        match self.partition_of(file) {
            // The file's rows already share their value: no need to look at each.
            Some(partition) => writer.write(partition, kept)?,
            None => {
                let batches = kept.collect::<Result<Vec<_>, _>>()?;
                self.write_split(&mut writer, batches)?;
            }
        }
        writer.finish()
    }

    /// Merges files of one partition into few. Waits for the disk.
    pub(crate) fn merge(
        &self,
        purpose: Purpose,
        files: &[Arc<LakeFile>],
    ) -> Result<Vec<NewFile>, Error> {
        let mut writer = self.writer(purpose);
        let partition = files.first().and_then(|it| self.partition_of(it)).flatten();
        if !self.cluster.is_empty() {
            let rows = cluster::in_order(&self.root, &self.columns, files, &self.cluster)?;
            writer.write(partition, rows)?;
            return writer.finish();
        }
        let batches = files.iter().flat_map(|file| match self.read(file, |_| Ok(None)) {
            Ok(batches) => {
                Box::new(batches) as Box<dyn Iterator<Item = Result<RecordBatch, Error>>>
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        });
        writer.write(partition, batches)?;
        writer.finish()
    }

    fn read<'a>(
        &'a self,
        file: &LakeFile,
        keep: impl Fn(&RecordBatch) -> Result<Option<BooleanArray>, String> + 'a,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Error>> + 'a, Error> {
        let batches = file::read(&self.root, &file.path, &self.columns)?;
        Ok(batches.map(move |batch| {
            let batch = batch?;
            let Some(kept) = keep(&batch).map_err(|reason| self.wrong(&reason))? else {
                return Ok(batch);
            };
            filter_record_batch(&batch, &kept).map_err(|it| self.wrong(&it.to_string()))
        }))
    }

    /// Returns the partition that holds all rows of a file; `None` if it lies otherwise than files
    /// lie now.
    pub(crate) fn partition_of<'a>(
        &'a self,
        file: &'a LakeFile,
    ) -> Option<Option<(&'a str, Option<&'a str>)>> {
        match &self.split {
            None => file.values.is_empty().then_some(None),
            Some(split) => {
                let value = file.values.get(&split.name).filter(|_| file.values.len() == 1)?;
                let value = value.as_deref().filter(|it| !it.is_empty());
                Some(Some((split.name.as_str(), value)))
            }
        }
    }

    /// Returns a file's line in the log.
    pub(crate) fn to_add(&self, file: NewFile, now_ms: i64, data_change: bool) -> Add {
        let values = self.split.iter().map(|it| (it.name.clone(), file.value.clone()));
        Add {
            partition_values: values.collect(),
            size: file.bytes,
            modification_time: now_ms,
            data_change,
            stats: Some(file.facts.to_json(&self.columns)),
            path: file.path,
        }
    }

    fn wrong(&self, reason: &str) -> Error {
        let path = self.root.to_path_buf();
        Error::File { doing: "sort out the rows of", path, reason: reason.to_owned() }
    }
}

/// Chooses the rows that lie in none of the stretches.
pub(crate) fn outside(
    batch: &RecordBatch,
    column: usize,
    stretches: &Stretches,
) -> Result<Option<BooleanArray>, String> {
    let windows = batch.column(column).as_primitive_opt::<TimestampMicrosecondType>();
    let windows = windows.ok_or("the windows' column is no timestamp")?;
    let kept = windows.iter().map(|it| it.is_none_or(|it| !stretches.has(it)));
    let kept: BooleanArray = kept.map(Some).collect();
    Ok((kept.true_count() != kept.len()).then_some(kept))
}

/// Chooses the rows that are not older than `oldest`, and those without a time.
pub(crate) fn not_older(
    batch: &RecordBatch,
    column: usize,
    oldest: i64,
) -> Result<Option<BooleanArray>, String> {
    let times = batch.column(column).as_primitive_opt::<TimestampMicrosecondType>();
    let times = times.ok_or("the time column is no timestamp")?;
    let kept = times.iter().map(|it| it.is_none_or(|it| oldest <= it));
    Ok(Some(kept.map(Some).collect()))
}

#[cfg(test)]
mod tests;
