//! Tables that are served by key: stored rows from their index, hot ones from the flow's view, as of
//! one tick.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering as AtomicOrdering};
use std::time::Duration;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use async_trait::async_trait;
use base::{Clock, Epoch, Kind, Name};
use ingest::{Ask, Found, ItemFault, ItemTable, Items};
use process::{FlowPlan, HotKeys, HotRow, TableView};
use rows::keyed::Keyed;
use spec::{Project, Serve};
use store::{LakeTable, Served, Serving};

use crate::pipeline::Pipeline;
use crate::running::{Part, Running};

mod cursor;
mod item;

use cursor::Cursor;

/// A table that is served.
pub(crate) struct ServedTable {
    pub(crate) served: Arc<Served>,
    hot: HotKeys,
    latest: Option<usize>,
    puts: Option<Name>,
    pace: Pace,
}

/// How long reads of a table take, in microseconds: the mean of the last ones, which weigh most.
#[derive(Debug, Default)]
struct Pace(AtomicU32);

/// Stored rows that are read in one step, where some may not be shown.
const STORED_ROWS: usize = 64;

/// An epoch may end while a read begins; it is read again then, so often at most.
const TRIES_MAX: usize = 16;

/// Reads that take less, in microseconds, are answered where they are asked: most of them find their
/// rows in memory, and another thread would cost more than the read. Where a disk has to be waited
/// for, others wait for it.
const QUICK_US: u32 = 500;

/// Answers reads by key from what runs.
pub(crate) struct ByKey(pub(crate) Arc<Pipeline>);

impl ServedTable {
    fn new(served: Arc<Served>, serve: &Serve) -> ServedTable {
        ServedTable {
            hot: HotKeys::new(Arc::clone(served.keyed())),
            served,
            latest: serve.latest,
            puts: serve.puts.as_ref().and_then(|it| Name::new(it.as_str()).ok()),
            pace: Pace::default(),
        }
    }

    /// As [`ServedTable::page`], on this thread while reads are quick.
    async fn page_quickly(
        self: &Arc<Self>,
        (part, clock): (&Arc<Part>, &Arc<dyn Clock>),
        name: String,
        wanted: Wanted,
    ) -> anyhow::Result<(Vec<SortedRow>, Option<Cursor>)> {
        let (part, clock, table) = (Arc::clone(part), Arc::clone(clock), Arc::clone(self));
        let read = move || {
            let began = clock.elapsed();
            let page = table.page(&part, &name, &wanted);
            table.pace.add(clock.elapsed().saturating_sub(began));
            page
        };
        match self.pace.is_quick() {
            true => read(),
            false => tokio::task::spawn_blocking(read).await?,
        }
    }

    /// Returns the page of rows that is wanted, and where the next begins.
    fn page(
        &self,
        part: &Part,
        name: &str,
        wanted: &Wanted,
    ) -> anyhow::Result<(Vec<SortedRow>, Option<Cursor>)> {
        let Some(latest) = self.latest else { return self.read(part, name, wanted) };
        // The latest are told from all rows of the key, whichever of them are wanted.
        let all = Wanted { key: wanted.key.clone(), ..Wanted::newest(latest) };
        let (mut rows, _) = self.read(part, name, &all)?;
        if !wanted.descending {
            rows.reverse();
        }
        let mut page = Page::of(wanted);
        for (sort, row) in rows.into_iter().filter(|(sort, _)| wanted.holds(sort)) {
            if page.push(sort, row) {
                return Ok(page.end());
            }
        }
        Ok((page.rows, None))
    }

    fn read(
        &self,
        part: &Part,
        name: &str,
        wanted: &Wanted,
    ) -> anyhow::Result<(Vec<SortedRow>, Option<Cursor>)> {
        for _ in 0..TRIES_MAX {
            let bounds = wanted.bounds();
            let stored = self.served.find(&wanted.key, bounds, wanted.descending)?;
            let view = part.flow.view();
            // What the view no longer holds must be in the index that is read.
            if stored.epoch < self.served.epoch() {
                continue;
            }
            let table = view.tables.get(name).context("the view has no such table")?;
            let mut hot = self.hot.find(table, &wanted.key, bounds)?;
            if wanted.descending {
                hot.reverse();
            }
            let stored =
                Stored { reading: stored, view: table, epoch: view.epoch, ready: Vec::new() };
            return self.merge(stored, hot, wanted);
        }
        anyhow::bail!("the table moves on faster than it can be read; try again")
    }

    fn merge(
        &self,
        mut stored: Stored<'_>,
        hot: Vec<HotRow>,
        wanted: &Wanted,
    ) -> anyhow::Result<(Vec<SortedRow>, Option<Cursor>)> {
        let mut hot = hot.into_iter().peekable();
        // Of rows with equal sort values the stored ones came first.
        let is_hot_next = |hot: &HotRow, stored: &[u8]| match wanted.descending {
            true => stored <= hot.sort.as_slice(),
            false => hot.sort.as_slice() < stored,
        };
        let mut page = Page::of(wanted);
        loop {
            let next = match (hot.peek(), stored.peek(self.served.keyed())?) {
                (None, None) => return Ok((page.rows, None)),
                (Some(first), Some(sort)) if !is_hot_next(first, sort) => stored.take(),
                (None, Some(_)) => stored.take(),
                (Some(_), _) => hot.next().map(|it| (it.sort, it.row)),
            };
            let (sort, row) = next.context("a row that was seen is there")?;
            if page.push(sort, row) {
                return Ok(page.end());
            }
        }
    }
}

impl Pace {
    fn is_quick(&self) -> bool {
        self.0.load(AtomicOrdering::Relaxed) < QUICK_US
    }

    fn add(&self, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let before = self.0.load(AtomicOrdering::Relaxed);
        // Two at a time may lose one of them, which does no harm.
        self.0.store(before - before / 16 + took / 16, AtomicOrdering::Relaxed);
    }
}

/// A row with its sort value.
type SortedRow = (Vec<u8>, RecordBatch);

/// Rows of one answer.
struct Page {
    rows: Vec<SortedRow>,
    limit: usize,
    skip: Option<Cursor>,
    place: Cursor,
}

impl Page {
    fn of(wanted: &Wanted) -> Page {
        let (limit, skip) = (wanted.limit, wanted.after.clone());
        Page { rows: Vec::new(), limit, skip, place: Cursor::default() }
    }

    /// Takes the next row; returns whether it belongs to the next page already.
    fn push(&mut self, sort: Vec<u8>, row: RecordBatch) -> bool {
        if let Some(given) = self.skip.as_mut().filter(|it| it.sort == sort && 0 < it.count) {
            given.count -= 1;
            self.place.step(&sort);
            return false;
        }
        if self.rows.len() == self.limit {
            return true;
        }
        self.place.step(&sort);
        self.rows.push((sort, row));
        false
    }

    fn end(self) -> (Vec<SortedRow>, Option<Cursor>) {
        (self.rows, Some(self.place))
    }
}

/// What is looked for, in bytes.
struct Wanted {
    key: Vec<u8>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    descending: bool,
    limit: usize,
    after: Option<Cursor>,
}

impl Wanted {
    fn of(ask: &Ask, keyed: &Keyed) -> Result<Wanted, ItemFault> {
        let key = keyed.key_of(item::given(&ask.key)?).map_err(|it| item::no_value(&it))?;
        let bound = |it: &Bound<ingest::Value>| -> Result<Bound<Vec<u8>>, ItemFault> {
            let value = match it {
                Bound::Unbounded => return Ok(Bound::Unbounded),
                Bound::Included(value) | Bound::Excluded(value) => value,
            };
            let sort = keyed.sort_of(item::given(value)?).map_err(|it| item::no_value(&it))?;
            let sort = sort.ok_or_else(item::no_order)?;
            Ok(match it {
                Bound::Included(_) => Bound::Included(sort),
                _ => Bound::Excluded(sort),
            })
        };
        let (mut from, mut to) = (bound(&ask.from)?, bound(&ask.to)?);
        if let Some(begin) = &ask.begins_with {
            let text = |it: &str| keyed.sort_of(rows::keyed::Given::Text(it));
            let first =
                text(begin).map_err(|it| item::no_value(&it))?.ok_or_else(item::no_order)?;
            from = narrower(from, Bound::Included(first), true);
            if let Some(end) = item::after_all(begin) {
                let end =
                    text(&end).map_err(|it| item::no_value(&it))?.ok_or_else(item::no_order)?;
                to = narrower(to, Bound::Excluded(end), false);
            }
        }
        let after = ask.after.as_deref().map(Cursor::read).transpose()?;
        if let Some(cursor) = &after {
            match ask.descending {
                true => to = narrower(to, Bound::Included(cursor.sort.clone()), false),
                false => from = narrower(from, Bound::Included(cursor.sort.clone()), true),
            }
        }
        Ok(Wanted { key, from, to, descending: ask.descending, limit: ask.limit, after })
    }

    /// Returns what finds the last rows of a key.
    fn newest(limit: usize) -> Wanted {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        Wanted { key: Vec::new(), from, to, descending: true, limit, after: None }
    }

    /// Returns whether a sort value is within the bounds.
    fn holds(&self, sort: &[u8]) -> bool {
        RangeBounds::<[u8]>::contains(&self.bounds(), sort)
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.from.as_ref().map(Vec::as_slice), self.to.as_ref().map(Vec::as_slice))
    }
}

/// Returns the bound that lets fewer values in; both are lower ones or both upper ones.
fn narrower(one: Bound<Vec<u8>>, other: Bound<Vec<u8>>, are_lower: bool) -> Bound<Vec<u8>> {
    let (Bound::Included(at) | Bound::Excluded(at)) = &one else { return other };
    let (Bound::Included(to) | Bound::Excluded(to)) = &other else { return one };
    let is_other = match at.cmp(to) {
        Ordering::Equal => matches!(other, Bound::Excluded(_)),
        Ordering::Less => are_lower,
        Ordering::Greater => !are_lower,
    };
    if is_other { other } else { one }
}

/// The stored rows that a view shows, some at once.
struct Stored<'a> {
    reading: store::Reading,
    view: &'a TableView,
    epoch: Epoch,
    /// Read and to be given out, the next one last.
    ready: Vec<SortedRow>,
}

impl Stored<'_> {
    /// Returns the sort value of the next row.
    fn peek(&mut self, keyed: &Keyed) -> anyhow::Result<Option<&[u8]>> {
        while self.ready.is_empty() && !self.view.hides_all() {
            let mut some = Vec::with_capacity(STORED_ROWS);
            for row in self.reading.by_ref() {
                let row = row?;
                if row.epoch <= self.epoch {
                    some.push(row);
                }
                if some.len() == STORED_ROWS {
                    break;
                }
            }
            if some.is_empty() {
                break;
            }
            let rows = keyed.read(some.iter().map(|it| &*it.row))?;
            let shown = self.view.shows(&rows);
            let shown = some.into_iter().zip(shown).enumerate().filter(|(_, (_, it))| *it);
            self.ready.extend(shown.map(|(place, (it, _))| (it.sort, rows.slice(place, 1))));
            self.ready.reverse();
        }
        Ok(self.ready.last().map(|(sort, _)| sort.as_slice()))
    }

    fn take(&mut self) -> Option<SortedRow> {
        self.ready.pop()
    }
}

impl Pipeline {
    /// Returns where the indexes of served tables lie; what cannot be opened is made again.
    pub(crate) fn indexes(&self) -> anyhow::Result<&Serving> {
        let open = || -> anyhow::Result<Serving> {
            let folder = self.data.join("served");
            match Serving::open(&folder) {
                Ok(serving) => Ok(serving),
                Err(error) => {
                    tracing::warn!(%error, "the indexes by key cannot be opened: they are made again");
                    std::fs::remove_dir_all(&folder)
                        .with_context(|| format!("cannot remove {}", folder.display()))?;
                    Ok(Serving::open(&folder)?)
                }
            }
        };
        if let Some(serving) = self.serving.get() {
            return Ok(serving);
        }
        let opened = open()?;
        Ok(self.serving.get_or_init(|| opened))
    }

    /// Serves the tables of a flow that say so.
    pub(crate) async fn serve_tables(
        &self,
        project: &Project,
        plan: &FlowPlan,
        tables: &BTreeMap<String, Arc<LakeTable>>,
    ) -> anyhow::Result<BTreeMap<String, Arc<ServedTable>>> {
        let (mut served, outputs) = (BTreeMap::new(), plan.outputs());
        for (name, _) in plan.tables() {
            let Some(serve) = project.tables.get(name).and_then(|it| it.serve.as_ref()) else {
                continue;
            };
            let table = tables.get(name.as_str()).context("a served table is stored")?;
            let output = outputs.iter().find(|it| it.name == *name);
            let schema = Arc::clone(&output.context("a served table has columns")?.schema);
            let keyed =
                Keyed::new(schema, serve.key.as_str(), serve.sort.as_ref().map(spec::Word::as_str));
            let keyed = Arc::new(keyed.with_context(|| format!("table `{name}`"))?);
            let index = self.indexes()?.table(Arc::clone(table), keyed).await?;
            served.insert(name.to_string(), Arc::new(ServedTable::new(index, serve)));
        }
        Ok(served)
    }

    /// Forgets the indexes of tables whose rows are others from now on.
    pub(crate) fn forget_indexes<'a>(
        &self,
        tables: impl Iterator<Item = &'a Name>,
    ) -> anyhow::Result<()> {
        if !self.data.join("served").try_exists()? {
            return Ok(());
        }
        for table in tables {
            self.indexes()?.forget(table)?;
        }
        Ok(())
    }

    /// Lets go of rows that are older than their tables keep them.
    pub(crate) async fn expire_indexes(&self) {
        let now_ms = self.clock.now_ms();
        let now = self.now();
        for table in now.parts.iter().flat_map(|it| it.served.values()) {
            if let Err(error) = table.served.expire(now_ms).await {
                tracing::warn!(%error, "old rows stay in an index by key; it is tried again");
            }
        }
    }

    /// Removes the indexes of tables that are served no longer.
    pub(crate) fn sweep_indexes(&self) {
        let now = self.now();
        let names: BTreeSet<String> =
            now.parts.iter().flat_map(|it| it.served.keys().cloned()).collect();
        let swept = self.serving.get().map_or(Ok(()), |it| it.retain(&names));
        if let Err(error) = swept {
            tracing::warn!(%error, "an index by key that is not needed cannot be removed");
        }
    }
}

impl Running {
    /// Returns a table that is served, with its flow.
    pub(crate) fn served(&self, table: &str) -> Option<(&Arc<Part>, &Arc<ServedTable>)> {
        self.parts.iter().find_map(|it| Some((it, it.served.get(table)?)))
    }
}

#[async_trait]
impl Items for ByKey {
    fn tables(&self) -> Vec<ItemTable> {
        let now = self.0.now();
        let mut tables: Vec<ItemTable> = Vec::new();
        for part in &now.parts {
            for (name, table) in &part.served {
                tables.extend(item::table(name, &table.served, self.0.started_ms));
            }
        }
        tables.sort_by(|one, other| one.name.cmp(&other.name));
        tables
    }

    fn table(&self, name: &str) -> Option<ItemTable> {
        let now = self.0.now();
        let (_, table) = now.served(name)?;
        item::table(name, &table.served, self.0.started_ms)
    }

    async fn find(&self, ask: Ask) -> Result<Found, ItemFault> {
        let now = self.0.now();
        let Some((part, table)) = now.served(&ask.table) else {
            return Err(no_table(&now, &ask.table));
        };
        if let Some((rows, of)) = table.served.building() {
            return Err(ItemFault {
                kind: Kind::Unavailable,
                message: format!(
                    "the index of `{}` is being built: {rows} of {of} rows",
                    ask.table
                ),
                help: Some("ask again in some seconds; SQL answers meanwhile".to_owned()),
            });
        }
        let wanted = Wanted::of(&ask, table.served.keyed())?;
        let failed = |error: anyhow::Error| ItemFault {
            kind: Kind::Unavailable,
            message: format!("{error:#}"),
            help: None,
        };
        let read = table.page_quickly((part, &self.0.clock), ask.table, wanted).await;
        let (rows, next) = read.map_err(failed)?;
        let next = next.map(|it| it.write());
        Ok(Found { items: rows.iter().map(|(_, row)| item::of(row)).collect(), next })
    }

    fn takes_puts(&self, table: &str) -> Option<Name> {
        self.0.now().served(table).and_then(|(_, it)| it.puts.clone())
    }
}

fn no_table(now: &Running, table: &str) -> ItemFault {
    let served: Vec<&str> =
        now.parts.iter().flat_map(|it| it.served.keys()).map(String::as_str).collect();
    let shown: String = table.chars().take(100).collect();
    let is_there = now.stored(table).is_some();
    let help = match base::nearest(table, served.iter().copied()) {
        Some(near) if !is_there => format!("did you mean `{near}`?"),
        _ if is_there => format!("add `serve = \"COLUMN\"` to the table `{shown}`"),
        _ if served.is_empty() => "no table is served: add `serve = \"COLUMN\"` to one".to_owned(),
        _ => format!("served are: {}", served.join(", ")),
    };
    let message = if is_there {
        format!("table `{shown}` is not served by key")
    } else {
        format!("table `{shown}` not found")
    };
    ItemFault { kind: Kind::Missing, message, help: Some(help) }
}
