//! Recovery: the last epoch is finished, its state loaded, and the flow goes on from its positions.
//!
//! Flows merge and split when a project changes. Positions and rows belong to streams and tables,
//! not to flows, so a flow looks into the checkpoints of all flows and takes each stream and table
//! from the newest that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Epoch, Name};
use datafusion::catalog::TableProvider;
use journal::Disk;
use tokio::sync::watch;

use crate::batch::Book;
use crate::checkpoint::{Checkpoint, Files, Piece, StreamPoint, TablePoint, read_rows};
use crate::error::{Error, in_words};
use crate::flow::backfill::History;
use crate::flow::checks::CheckRun;
use crate::flow::runs::Target;
use crate::flow::stream::StreamRun;
use crate::flow::{Flow, Stored, TableRun, find_provider, stream};
use crate::handle::Shown;
use crate::hot::HotRows;
use crate::lookup::Lookup;
use crate::plan::{FlowPlan, TableKind, TablePlan};
use crate::session;
use crate::setup::{Setup, Storage};
use crate::spill::Spills;
use crate::stats::{Stats, TableStats};
use crate::table::{Body, Room, Step, Written};
use crate::view::View;

/// What the checkpoints of all flows say.
pub(crate) struct Past {
    all: Vec<(Files, Checkpoint)>,
    /// Those of what was built beside them.
    built: Vec<(Files, Checkpoint)>,
}

impl Past {
    pub(crate) fn read(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        built: Option<&Path>,
    ) -> Result<Past, Error> {
        let in_folder = |folder: &Path| -> Result<Vec<(Files, Checkpoint)>, Error> {
            let mut all = Vec::new();
            for files in Files::all(disk, folder)? {
                if let Some(checkpoint) = files.checkpoint()? {
                    all.push((files, checkpoint));
                }
            }
            Ok(all)
        };
        let built = built.map(in_folder).transpose()?.unwrap_or_default();
        Ok(Past { all: in_folder(folder)?, built })
    }

    /// Returns the highest epoch of any flow: epochs only grow, whichever flow a table is in.
    pub(crate) fn epoch(&self) -> Epoch {
        self.checkpoints().map(|(_, it)| it.epoch).max().unwrap_or_default()
    }

    fn checkpoints(&self) -> impl Iterator<Item = &(Files, Checkpoint)> {
        self.all.iter().chain(&self.built)
    }

    /// Returns the book of a table's runs: one that was built beside begins a book of its own, and
    /// goes on with the older one.
    fn book(&self, name: &Name) -> Option<Book> {
        let points = self.checkpoints().filter_map(|(_, it)| it.tables.get(name));
        let points: Vec<&TablePoint> = points.collect();
        let newest = points.iter().max_by_key(|it| it.epoch)?.book.as_ref();
        let longest =
            points.iter().filter_map(|it| it.book.as_ref()).max_by_key(|it| it.number())?;
        match newest {
            Some(newest) if newest.number() < longest.number() => {
                Some(longest.with_rows_of(newest))
            }
            _ => Some(longest.clone()),
        }
    }

    fn own(&self, flow: &Name) -> Option<&(Files, Checkpoint)> {
        self.all.iter().find(|(_, it)| it.flow == *flow)
    }

    pub(crate) fn stream(&self, name: &Name) -> Option<&StreamPoint> {
        let points = self.all.iter().filter_map(|(_, it)| it.streams.get(name));
        points.max_by_key(|it| it.epoch)
    }

    pub(crate) fn table(&self, name: &Name) -> Option<(&Files, &Checkpoint, &TablePoint)> {
        let points = self.checkpoints();
        let points = points.filter_map(|(files, it)| Some((files, it, it.tables.get(name)?)));
        points.max_by_key(|(_, _, it)| it.epoch)
    }
}

impl Flow {
    /// Recovers the flow: finishes its last epoch, loads its state, finds its positions.
    ///
    /// After a change of the project, open all flows before any of them ticks: a stream or table
    /// that moved to another flow is taken over from the checkpoint of its former one.
    ///
    /// # Errors
    /// When a file is damaged, the journal or a table's storage cannot be used, or a plan cannot be
    /// made. A table that cannot be rebuilt is detached and told in [`Stats`].
    pub async fn open(setup: Setup) -> Result<Flow, Error> {
        let past = Past::read(&setup.disk, &setup.folder, setup.built.as_deref())?;
        let plan = setup.plan.clone();
        finish_epochs(&past, &plan, &setup.storage).await?;
        let mut flow = Box::pin(Flow::stand_up(setup, &past)).await?;
        flow.take_streams(&past);
        Box::pin(flow.take_tables(&past)).await?;
        flow.take_observer(&past)?;
        flow.resume_runs();
        Box::pin(flow.refresh_tables(flow.clock.now_ms(), true)).await;
        let views = flow.all_views();
        flow.changed.clear();
        flow.swap(views);
        // From which moment on a schedule counts must not be forgotten.
        if flow.inherits(&past) || flow.has_new_schedules() {
            Box::pin(flow.flush()).await?;
        }
        flow.spills.sweep(&flow.durable);
        Ok(flow)
    }

    /// Makes the flow with nothing in it.
    pub(crate) async fn stand_up(setup: Setup, past: &Past) -> Result<Flow, Error> {
        let Setup { plan, journal, storage, folder, disk, clock, observer, settings, .. } = setup;
        let now_ms = clock.now_ms();
        let failed = || Error::compute("no SQL session can be made");
        let session = session::for_ticks().map_err(failed())?;
        let wholes = session::for_wholes(settings.memory_bytes_max).map_err(failed())?;
        let stored = |name: &Name| match storage.get(name.as_str()) {
            Some(storage) => Ok(Stored::new(storage.clone())),
            None => Err(Error::StorageMissing(name.to_string())),
        };
        let mut streams = Vec::new();
        for it in &plan.streams {
            let (own, dead) = (stored(&it.declared.name)?, stored(&it.dead)?);
            streams.push(StreamRun::new(it, &session, &journal, own, dead)?);
        }
        let lookups: Vec<Lookup> = plan.lookups.iter().map(|it| Lookup::new(it, now_ms)).collect();
        let (memory, on_disk) = (settings.state_bytes_max, settings.state_disk_bytes_max);
        let files = Files::open(Arc::clone(&disk), &folder, &plan.name)?;
        let spills = Spills::open(disk, &folder, &plan.name, memory, on_disk);
        let room = Room { groups_max: settings.groups_max, spills: Some(spills.clone()) };
        let mut tables = Vec::new();
        for it in &plan.tables {
            let broken = |error| Error::table(it.name(), error);
            let mut body = Body::new(&session, it, &room).await.map_err(broken)?;
            for lookup in &lookups {
                body.set_lookup(&lookup.name, &lookup.data.rows).map_err(broken)?;
            }
            let history = History::of(it, &lookups);
            tables.push(TableRun::new(it, body, stored(it.name())?, stored(&it.dead)?, history));
        }
        let epoch = past.epoch();
        let durable = past.own(&plan.name).map(|(_, it)| it.clone());
        let durable = durable.unwrap_or_else(|| Checkpoint::new(plan.name.clone(), Epoch(0)));
        let shown = Shown {
            view: ArcSwap::from_pointee(View::default()),
            stats: ArcSwap::from_pointee(Stats::default()),
            ticks: watch::Sender::new(0),
        };
        Ok(Flow {
            name: plan.name,
            journal,
            epoch: epoch.next(),
            epoch_began: clock.elapsed(),
            clock,
            settings,
            session,
            wholes,
            files,
            spills,
            streams,
            lookups,
            tables,
            checks: plan.checks.iter().map(CheckRun::new).collect(),
            backfill: None,
            observer,
            durable,
            in_flight: None,
            flushes: Arc::default(),
            epoch_records: 0,
            epoch_bytes: 0,
            observer_state: Vec::new(),
            changed: BTreeSet::new(),
            shown: Arc::new(shown),
            stats: Stats::default(),
            is_running: false,
        })
    }

    fn take_streams(&mut self, past: &Past) {
        for stream in &mut self.streams {
            if let Some(point) = past.stream(&stream.plan.declared.name) {
                stream.point = point.clone();
                stream.release(&point.positions);
            }
            if let Ok(info) = self.journal.stream_info(stream.id) {
                stream.look_at(&info);
                stream.info = Some(info);
            }
        }
    }

    async fn take_tables(&mut self, past: &Past) -> Result<(), Error> {
        for place in 0..self.tables.len() {
            let Some(run) = self.tables.get(place) else { continue };
            let (plan, history) = (Arc::clone(&run.plan), run.history.clone());
            let Some((files, checkpoint, point)) = past.table(plan.name()) else {
                self.rebuild(place, None).await;
                continue;
            };
            if !files.is_in(&self.files) {
                // What our last checkpoint has of it is of another making.
                self.durable.tables.remove(plan.name());
            }
            if let Some(run) = self.tables.get_mut(place)
                && let Some(rows) = run.body.window_rows_mut()
            {
                rows.corrections = point.corrections;
            }
            // A table that was dropped and comes again has missed what came in meanwhile.
            let is_left = point.epoch < checkpoint.epoch;
            if let Some(held) = point.detached.as_ref().filter(|it| it.is_held && !is_left)
                && plan.made(&point.fingerprint, &history)
            {
                // Its rows stay as they are until the check was asked.
                if let Some(run) = self.tables.get_mut(place) {
                    run.detached = Some(held.clone());
                }
                if point.state.is_some() && checkpoint.is_current() {
                    self.restore(place, files, &checkpoint.pieces(plan.name()), point)?;
                }
                continue;
            }
            let is_same = plan.made(&point.fingerprint, &history) && point.detached.is_none();
            if plan.kind == TableKind::Recomputed {
                self.take_book(place, past, is_same && !is_left);
            }
            if is_left || !is_same {
                self.rebuild(place, None).await;
                continue;
            }
            let holds_state = matches!(plan.kind, TableKind::Windowed | TableKind::Running);
            let is_there = point.state.is_some() && checkpoint.is_current();
            match is_there {
                true => {
                    self.restore(place, files, &checkpoint.pieces(plan.name()), point)?;
                }
                false if holds_state => self.rebuild(place, Some(point)).await,
                false => {}
            }
        }
        Ok(())
    }

    /// Takes over what ran so far; a table that is to have other rows runs at once.
    fn take_book(&mut self, place: usize, past: &Past, is_same: bool) {
        let now_ms = self.clock.now_ms();
        let Some(run) = self.tables.get_mut(place) else { return };
        run.book = past.book(run.plan.name()).unwrap_or_default();
        if !is_same {
            run.book.outdate(&run.plan.batch, now_ms);
        }
    }

    fn restore(
        &mut self,
        place: usize,
        files: &Files,
        pieces: &[Piece],
        point: &TablePoint,
    ) -> Result<(), Error> {
        let Some(run) = self.tables.get_mut(place) else { return Ok(()) };
        let mut written = Written::default();
        for piece in pieces {
            let rows = read_rows(&files.piece(piece)?);
            let rows = rows.map_err(|it| Error::table(run.plan.name(), it))?;
            written.pieces.push((piece.epoch, rows));
        }
        for named in &point.spilled {
            let of_window = named.files.iter().map(|it| self.spills.take_up(files.folder(), it));
            let of_window = of_window.collect::<datafusion::error::Result<Vec<_>>>();
            let of_window = of_window.map_err(|it| Error::table(run.plan.name(), it))?;
            written.on_disk.push((named.clone(), of_window));
        }
        run.body
            .restore(written, point.watermark_us)
            .map_err(|error| Error::table(run.plan.name(), error))
    }

    /// Computes a table anew from stored rows: only its open groups if the rest of it is as the
    /// plan would make it (`of`), else all of it.
    pub(crate) async fn rebuild(&mut self, place: usize, of: Option<&TablePoint>) {
        let now_ms = self.clock.now_ms();
        let (below, rest) = self.tables.split_at_mut(place);
        let Some(run) = rest.first_mut() else { return };
        let plan = Arc::clone(&run.plan);
        let sources = plan.window.as_ref().map(|it| it.sources.as_slice()).unwrap_or_default();
        let time_us = stream::least_all(&self.streams, sources);
        let (streams, lookups) = (&self.streams, &self.lookups);
        let tables = |name: &str| find_provider(streams, below, lookups, name, plan.sees_final);
        let step = Step {
            session: &self.session,
            epoch: self.epoch,
            now_ms,
            tables: &tables as &(dyn Fn(&str) -> Option<Arc<dyn TableProvider>> + Sync),
            time_us,
        };
        let rebuilt = match (&mut run.body, of) {
            (Body::Windowed(it), Some(point)) => it.reopen(&step, point.watermark_us).await,
            (Body::Sliced(it), Some(point)) => {
                it.reopen(point.watermark_us);
                Ok(())
            }
            (body, _) => body.rebuild(&step).await,
        };
        if let Err(error) = rebuilt {
            run.detach(now_ms, in_words(&error));
        }
    }

    fn take_observer(&mut self, past: &Past) -> Result<(), Error> {
        let Some(observer) = &mut self.observer else { return Ok(()) };
        let Some((files, checkpoint)) = past.own(&self.name) else { return Ok(()) };
        let Some(section) = checkpoint.observer else { return Ok(()) };
        let state = files.read_state(checkpoint)?;
        let bytes = files.section(checkpoint, &state, section)?;
        observer.restore(bytes);
        self.observer_state = bytes.to_vec();
        Ok(())
    }

    /// Returns whether something of this flow stands in another flow's checkpoint only.
    fn inherits(&self, past: &Past) -> bool {
        let is_new = past.own(&self.name).is_none();
        let is_elsewhere = |name: &Name| {
            let found = past.table(name);
            found.is_some_and(|(files, it, _)| it.flow != self.name || !files.is_in(&self.files))
        };
        let streams = self.streams.iter().map(|it| &it.plan.declared.name);
        let mut names = streams.chain(self.tables.iter().map(|it| it.plan.name()));
        (is_new && !past.all.is_empty()) || names.any(is_elsewhere)
    }
}

impl TableRun {
    fn new(
        plan: &Arc<TablePlan>,
        body: Body,
        own: Stored,
        dead_stored: Stored,
        history: History,
    ) -> TableRun {
        TableRun {
            body,
            dead: HotRows::default(),
            own,
            dead_stored,
            tried: history.clone(),
            history,
            tagged: None,
            detached: None,
            held: None,
            returns: false,
            stats: TableStats::default(),
            book: Book::default(),
            job: None,
            target: Target::new(),
            rests_until: Duration::ZERO,
            given: None,
            plan: Arc::clone(plan),
        }
    }
}

/// Commits what the checkpoints promised and a crash may have kept from the tables.
async fn finish_epochs(
    past: &Past,
    plan: &FlowPlan,
    storage: &BTreeMap<String, Storage>,
) -> Result<(), Error> {
    for output in plan.outputs() {
        let Some((_, _, point)) = past.table(&output.name) else { continue };
        let Some(actions) = &point.actions else { continue };
        let Some(storage) = storage.get(output.name.as_str()) else {
            return Err(Error::StorageMissing(output.name.to_string()));
        };
        if storage.sink.committed().await? < point.epoch {
            storage.sink.commit(point.epoch, actions.clone()).await?;
        }
    }
    Ok(())
}
