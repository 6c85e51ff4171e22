//! The sessions in memory, by key, and how new rows are merged into those that they touch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, internal_err};

use crate::operator::{Shape, Start};

pub(super) type Key = Box<[u8]>;

/// The sessions in memory, by key. Each is a row of a state batch.
#[derive(Debug)]
pub(super) struct Held {
    converter: Option<RowConverter>,
    /// The columns of a state batch that make up the key, and that of the start.
    key: Vec<usize>,
    start: usize,
    schema: SchemaRef,
    of_key: HashMap<Key, Vec<Session>>,
    keys_at: BTreeMap<Start, BTreeSet<Key>>,
    ends: BTreeSet<(i64, Start, Key)>,
    batches: HashMap<u64, RecordBatch>,
    batch_bytes: usize,
    next: u64,
    live: usize,
    dead: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    start: Start,
    end: i64,
    /// Whether it was final before: then it stays so, and what still comes corrects it.
    is_closed: bool,
    batch: u64,
    row: usize,
}

/// What a session is made of: one that was there, or groups of a pane.
struct Part {
    from: i64,
    to: i64,
    is_closed: bool,
    batch: RecordBatch,
    row: usize,
}

/// Rows of no use that may lie among the states before they are copied.
const DEAD_MAX: usize = 4_096;

/// The column that says in a checkpoint whether a session was final before.
const CLOSED: &str = "closed";

impl Held {
    pub(super) fn new(shape: &Shape, start: usize) -> Result<Held> {
        let schema = Arc::clone(shape.state());
        let key: Vec<usize> = (0..shape.keys()).filter(|it| *it != start).collect();
        let fields = key.iter().map(|it| SortField::new(schema.field(*it).data_type().clone()));
        let fields: Vec<SortField> = fields.collect();
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields)?) };
        Ok(Held {
            converter,
            key,
            start,
            schema,
            of_key: HashMap::new(),
            keys_at: BTreeMap::new(),
            ends: BTreeSet::new(),
            batches: HashMap::new(),
            batch_bytes: 0,
            next: 0,
            live: 0,
            dead: 0,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.live
    }

    /// Returns the bytes it takes, about.
    pub(super) fn bytes(&self) -> usize {
        // A session is found by its key, its start and its end.
        const PLACES_BYTES: usize = 256;
        self.batch_bytes + self.live * PLACES_BYTES
    }

    pub(super) fn starts(&self) -> Vec<Start> {
        self.keys_at.keys().copied().collect()
    }

    fn keys(&mut self, batch: &RecordBatch) -> Result<Vec<Key>> {
        let Some(converter) = &mut self.converter else {
            return Ok(vec![Key::default(); batch.num_rows()]);
        };
        let columns: Vec<ArrayRef> =
            self.key.iter().map(|it| Arc::clone(batch.column(*it))).collect();
        let rows = converter.convert_columns(&columns)?;
        Ok(rows.iter().map(|it| Key::from(it.as_ref())).collect())
    }

    /// Returns the first and the last moment of each row of a state batch: its last two columns.
    fn spans(batch: &RecordBatch) -> Result<Vec<(i64, i64)>> {
        let column = |back: usize| {
            let place = batch.num_columns().checked_sub(back)?;
            batch.column(place).as_primitive_opt::<Int64Type>()
        };
        let (Some(from), Some(to)) = (column(2), column(1)) else {
            return internal_err!("the state of sessions lacks their first and last moment");
        };
        Ok(from.values().iter().copied().zip(to.values().iter().copied()).collect())
    }

    fn remove(&mut self, key: &Key, session: Session) {
        self.ends.remove(&(session.end, session.start, key.clone()));
        if let Some(keys) = self.keys_at.get_mut(&session.start) {
            keys.remove(key);
            if keys.is_empty() {
                self.keys_at.remove(&session.start);
            }
        }
        self.live -= 1;
        self.dead += 1;
    }

    fn insert(&mut self, key: Key, session: Session) {
        self.ends.insert((session.end, session.start, key.clone()));
        self.keys_at.entry(session.start).or_default().insert(key.clone());
        self.of_key.entry(key).or_default().push(session);
        self.live += 1;
    }

    fn add_batch(&mut self, batch: RecordBatch) -> u64 {
        self.next += 1;
        self.batch_bytes += batch.get_array_memory_size();
        self.batches.insert(self.next, batch);
        self.next
    }

    /// Merges new groups in; returns the starts at which sessions changed, begin or no longer do.
    pub(super) fn merge(
        &mut self,
        shape: &Shape,
        new: &RecordBatch,
        gap_us: i64,
    ) -> Result<BTreeSet<Start>> {
        let (keys, spans) = (self.keys(new)?, Held::spans(new)?);
        let mut of_key: HashMap<Key, Vec<Part>> = HashMap::new();
        for (row, (key, (from, to))) in keys.into_iter().zip(spans).enumerate() {
            let part = Part { from, to, is_closed: false, batch: new.clone(), row };
            of_key.entry(key).or_default().push(part);
        }
        let mut touched = BTreeSet::new();
        let mut merged: Vec<(Start, Vec<Part>)> = Vec::new();
        let mut closed: BTreeSet<(Key, Start)> = BTreeSet::new();
        for (key, mut parts) in of_key {
            parts.sort_by_key(|it| it.from);
            let mut sessions = self.of_key.remove(&key).unwrap_or_default();
            sessions.sort_by_key(|it| it.start);
            let mut stay = Vec::new();
            let mut all: Vec<Vec<Part>> = Vec::new();
            // Parts that follow each other within the gap are one; then the sessions they touch.
            for part in parts {
                let follows = all.last().and_then(|it| it.iter().map(|it| it.to).max());
                match all.last_mut() {
                    Some(last)
                        if follows.is_some_and(|to| part.from.saturating_sub(to) <= gap_us) =>
                    {
                        last.push(part);
                    }
                    _ => all.push(vec![part]),
                }
            }
            for session in sessions {
                let is_near = |it: &Part| {
                    it.from.saturating_sub(session.end) <= gap_us
                        && session.start.saturating_sub(it.to) <= gap_us
                };
                let Some(first) = all.iter().position(|it| it.iter().any(is_near)) else {
                    stay.push(session);
                    continue;
                };
                // It may bridge several.
                let mut one = all.remove(first);
                while all.get(first).is_some_and(|it| it.iter().any(is_near)) {
                    one.extend(all.remove(first));
                }
                let Some(batch) = self.batches.get(&session.batch).cloned() else {
                    return internal_err!("the state of a session is gone");
                };
                let Session { start, end, is_closed, row, .. } = session;
                one.push(Part { from: start, to: end, is_closed, batch, row });
                all.insert(first, one);
                touched.insert(start);
                self.remove(&key, session);
            }
            if !stay.is_empty() {
                self.of_key.insert(key.clone(), stay);
            }
            for parts in all {
                let start = parts.iter().map(|it| it.from).min().unwrap_or_default();
                touched.insert(start);
                if parts.iter().any(|it| it.is_closed) {
                    closed.insert((key.clone(), start));
                }
                merged.push((start, parts));
            }
        }
        let batch = self.gather(&merged)?;
        let batch = shape.merged(&batch)?;
        self.take_in(batch, &|key, start| closed.contains(&(key.clone(), start)))?;
        self.compact()?;
        Ok(touched)
    }

    /// Puts the parts of sessions into one batch, each with the start of its session.
    fn gather(&self, sessions: &[(Start, Vec<Part>)]) -> Result<RecordBatch> {
        let parts = sessions.iter().flat_map(|(start, parts)| parts.iter().map(|it| (*start, it)));
        let mut sources: Vec<&RecordBatch> = Vec::new();
        let mut places = Vec::new();
        let mut starts = Vec::new();
        for (start, part) in parts {
            let is_same = |it: &&RecordBatch| {
                let (one, other) = (it.columns().first(), part.batch.columns().first());
                one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
            };
            let source = sources.iter().rposition(is_same).unwrap_or_else(|| {
                sources.push(&part.batch);
                sources.len() - 1
            });
            places.push((source, part.row));
            starts.push(start);
        }
        if sources.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let gathered = interleave_record_batch(&sources, &places)?;
        let mut columns = gathered.columns().to_vec();
        if let Some(column) = columns.get_mut(self.start) {
            let kind = column.data_type().clone();
            let starts = PrimitiveArray::<TimestampMicrosecondType>::from(starts);
            *column = Arc::new(starts.with_data_type(kind));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Takes a batch over, each row a session.
    fn take_in(
        &mut self,
        batch: RecordBatch,
        is_closed: &dyn Fn(&Key, Start) -> bool,
    ) -> Result<()> {
        let (keys, spans) = (self.keys(&batch)?, Held::spans(&batch)?);
        let id = self.add_batch(batch);
        for (row, (key, (start, end))) in keys.into_iter().zip(spans).enumerate() {
            let is_closed = is_closed(&key, start);
            self.insert(key, Session { start, end, is_closed, batch: id, row });
        }
        Ok(())
    }

    /// Copies the states when most rows among them are of no use.
    fn compact(&mut self) -> Result<()> {
        if self.dead <= DEAD_MAX.max(self.live) {
            return Ok(());
        }
        let mut sources: Vec<&RecordBatch> = Vec::new();
        let mut source_of: HashMap<u64, usize> = HashMap::new();
        let mut places = Vec::with_capacity(self.live);
        for session in self.of_key.values().flatten() {
            let Some(batch) = self.batches.get(&session.batch) else { continue };
            let source = *source_of.entry(session.batch).or_insert_with(|| {
                sources.push(batch);
                sources.len() - 1
            });
            places.push((source, session.row));
        }
        let copied = if places.is_empty() {
            RecordBatch::new_empty(Arc::clone(&self.schema))
        } else {
            interleave_record_batch(&sources, &places)?
        };
        self.batches.clear();
        self.batch_bytes = 0;
        let id = self.add_batch(copied);
        for (row, session) in self.of_key.values_mut().flatten().enumerate() {
            (session.batch, session.row) = (id, row);
        }
        self.dead = 0;
        Ok(())
    }

    pub(super) fn at(&self, start: Start) -> impl Iterator<Item = (&Key, &Session)> {
        let keys = self.keys_at.get(&start).into_iter().flatten();
        keys.filter_map(move |key| {
            let sessions = self.of_key.get(key)?;
            Some((key, sessions.iter().find(|it| it.start == start)?))
        })
    }

    /// Returns whether a session that begins then was never final.
    pub(super) fn is_open_at(&self, start: Start) -> bool {
        let mut sessions = self.at(start).peekable();
        sessions.peek().is_some() && sessions.all(|(_, it)| !it.is_closed)
    }

    /// Returns the states of the sessions that begin at these moments.
    pub(super) fn states_at(&self, starts: &BTreeSet<Start>) -> Result<Option<RecordBatch>> {
        let sessions = starts.iter().flat_map(|it| self.at(*it));
        let parts = sessions.filter_map(|(_, it)| {
            let batch = self.batches.get(&it.batch)?.clone();
            let Session { start, end, is_closed, row, .. } = *it;
            Some((start, vec![Part { from: start, to: end, is_closed, batch, row }]))
        });
        let parts: Vec<(Start, Vec<Part>)> = parts.collect();
        if parts.is_empty() { Ok(None) } else { self.gather(&parts).map(Some) }
    }

    /// Returns the starts at which all sessions ended before `end`, and were never final.
    pub(super) fn over(&self, end: i64) -> BTreeSet<Start> {
        let ended = self.ends.iter().take_while(|(it, _, _)| *it < end);
        let starts: BTreeSet<Start> = ended.map(|(_, start, _)| *start).collect();
        let is_over =
            |start: &Start| self.is_open_at(*start) && self.at(*start).all(|(_, it)| it.end < end);
        starts.into_iter().filter(is_over).collect()
    }

    /// Notes that the sessions that begin then are final.
    pub(super) fn close(&mut self, start: Start) {
        for key in self.keys_at.get(&start).cloned().unwrap_or_default() {
            let sessions = self.of_key.get_mut(&key).into_iter().flatten();
            sessions.filter(|it| it.start == start).for_each(|it| it.is_closed = true);
        }
    }

    /// Forgets final sessions that ended before `end`.
    pub(super) fn forget(&mut self, end: i64, is_settled: &dyn Fn(Start) -> bool) -> Result<()> {
        let ended = self.ends.iter().take_while(|(it, _, _)| *it < end);
        let ended: Vec<(Start, Key)> = ended.map(|(_, start, key)| (*start, key.clone())).collect();
        for (start, key) in ended {
            let Some(sessions) = self.of_key.get_mut(&key) else { continue };
            let found = sessions.iter().position(|it| it.start == start && it.is_closed);
            let Some(place) = found.filter(|_| is_settled(start)) else { continue };
            let session = sessions.swap_remove(place);
            if sessions.is_empty() {
                self.of_key.remove(&key);
            }
            self.remove(&key, session);
        }
        self.compact()
    }

    pub(super) fn to_state(&self) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let mut fields: Vec<Arc<Field>> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(CLOSED, DataType::Boolean, false)));
        let schema = Arc::new(Schema::new(fields));
        let parts = self.of_key.values().flatten().filter_map(|it| {
            let batch = self.batches.get(&it.batch)?.clone();
            let Session { start, end, is_closed, row, .. } = *it;
            Some((start, vec![Part { from: start, to: end, is_closed, batch, row }]))
        });
        let parts: Vec<(Start, Vec<Part>)> = parts.collect();
        if parts.is_empty() {
            return Ok((schema, Vec::new()));
        }
        let closed = parts.iter().flat_map(|(_, it)| it).map(|it| Some(it.is_closed));
        let closed: ArrayRef = Arc::new(closed.collect::<BooleanArray>());
        let mut columns = self.gather(&parts)?.columns().to_vec();
        columns.push(closed);
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok((schema, vec![batch]))
    }

    /// Takes back what `to_state` returned.
    pub(super) fn take_state(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some((closed, columns)) = batch.columns().split_last() else { return Ok(()) };
        let Some(closed) = closed.as_boolean_opt().cloned() else {
            return internal_err!("the state of sessions does not say which were final");
        };
        let states = RecordBatch::try_new(Arc::clone(&self.schema), columns.to_vec())?;
        let (keys, spans) = (self.keys(&states)?, Held::spans(&states)?);
        let id = self.add_batch(states);
        for (row, (key, (start, end))) in keys.into_iter().zip(spans).enumerate() {
            let is_closed = closed.value(row);
            self.insert(key, Session { start, end, is_closed, batch: id, row });
        }
        Ok(())
    }
}
