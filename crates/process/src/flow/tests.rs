//! Whole flows over a simulated disk and tables in memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::time::ManualClock;
use base::{Clock, Name, ShardId};
use datafusion::prelude::SessionContext;
use journal::simulate::SimulatedDisk;
use journal::{Append, Journal, Key, Records, StreamSettings, Threads};

use crate::flow::Flow;
use crate::memory::MemoryTable;
use crate::plan::{FlowPlan, Plan, plan};
use crate::setup::{Settings, Setup, Storage};
use crate::view::View;

mod built;
mod by_key;
mod case;
mod cases;
mod checks;
mod crash;
mod live;
mod lookups;
mod random;
mod recovery;
mod reshard;
mod restart;
mod runs;
mod shop;
mod spill;
mod trace;
mod windows;

/// A project, its journal and its tables; the program may end and begin again over them.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: SimulatedDisk,
    pub(super) journal: Journal,
    pub(super) storage: BTreeMap<String, Storage>,
    pub(super) tables: BTreeMap<String, Arc<MemoryTable>>,
    /// How large and how often.
    pub(super) settings: Settings,
    shards: u32,
}

/// 2026-01-05 10:00 UTC.
const NOW_MS: u64 = 1_767_607_200_000;

impl World {
    /// Makes the world of a project given as files.
    pub(super) async fn new(files: &[(&str, &str)]) -> World {
        World::with_shards(files, 1, 1).await
    }

    pub(super) async fn with_shards(files: &[(&str, &str)], shards: u32, seed: u64) -> World {
        let plan = plan_of(files).await.expect("the project is well");
        World::of(plan, shards, seed)
    }

    /// Makes the world of a project in a folder that stays.
    pub(super) async fn at(folder: &Path) -> World {
        let project = spec::load(folder, None, &spec::placeholder).expect("the project is well");
        World::of(plan(&project, &BTreeMap::new()).await.expect("so is its SQL"), 1, 1)
    }

    pub(super) fn of(plan: Plan, shards: u32, seed: u64) -> World {
        let clock = ManualClock::at(NOW_MS);
        let disk = SimulatedDisk::new(seed);
        let mut tables = BTreeMap::new();
        let mut storage = BTreeMap::new();
        for output in plan.flows.iter().flat_map(FlowPlan::outputs) {
            let table = MemoryTable::new(&output.name, output.schema);
            storage.insert(output.name.to_string(), table.storage());
            tables.insert(output.name.to_string(), table);
        }
        let journal = open_journal(&disk, &clock).expect("an empty disk can be opened");
        let settings = Settings::default();
        let world = World { plan, clock, disk, journal, storage, tables, settings, shards };
        world.make_streams();
        world
    }

    pub(super) fn make_streams(&self) {
        for name in self.plan.flows.iter().flat_map(FlowPlan::streams) {
            let settings = StreamSettings { shards: self.shards, ..StreamSettings::default() };
            self.journal.create_stream(name, settings).expect("the disk is well");
        }
    }

    pub(super) fn setup(&self) -> Setup {
        let clock: Arc<dyn Clock> = Arc::new(Arc::clone(&self.clock));
        Setup {
            plan: self.plan.flows.first().expect("the project has a flow").clone(),
            journal: self.journal.clone(),
            storage: self.storage.clone(),
            folder: PathBuf::from("/flows"),
            disk: self.disk.as_disk(),
            clock,
            built: None,
            observer: None,
            settings: self.settings.clone(),
        }
    }

    pub(super) async fn open(&self) -> Flow {
        Flow::open(self.setup()).await.expect("the flow can be opened")
    }

    /// Ends the program at once: only what was synced is sure to be there afterwards.
    pub(super) fn crash(&mut self) {
        self.journal.close();
        self.disk = self.disk.crash();
        self.journal = open_journal(&self.disk, &self.clock).expect("the journal recovers");
        self.make_streams();
    }

    /// Writes records down, one append for all.
    pub(super) async fn send(&self, stream: &str, lines: &[&str]) {
        self.try_send(stream, lines).await.expect("the disk is well");
    }

    pub(super) async fn try_send(
        &self,
        stream: &str,
        lines: &[&str],
    ) -> Result<(), journal::Error> {
        let id = self.journal.stream(stream).expect("the stream was made");
        let mut parts: BTreeMap<_, Records> = BTreeMap::new();
        for line in lines {
            let shard = self.journal.shard_of(id, Key::Partition(line))?;
            parts.entry(shard).or_default().push("", line.as_bytes())?;
        }
        let parts = parts.into_iter().collect();
        self.journal.append(Append { stream: id, parts, idempotency: None }).await?;
        Ok(())
    }

    /// Writes records down, each in the shard that is said.
    pub(super) async fn send_to(&self, stream: &str, lines: &[(u32, &str)]) {
        let id = self.journal.stream(stream).expect("the stream was made");
        let mut parts: BTreeMap<ShardId, Records> = BTreeMap::new();
        for (shard, line) in lines {
            let records = parts.entry(ShardId(*shard)).or_default();
            records.push("", line.as_bytes()).expect("the record is small");
        }
        let parts = parts.into_iter().collect();
        let append = Append { stream: id, parts, idempotency: None };
        self.journal.append(append).await.expect("the disk is well");
    }

    pub(super) fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

fn open_journal(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> Result<Journal, journal::Error> {
    let mut settings = journal::Settings::new("/journal");
    settings.threads = Threads::Caller;
    settings.segment_bytes = 1 << 20;
    Journal::open(settings, disk.as_disk(), Arc::new(Arc::clone(clock)))
}

pub(super) async fn plan_of(files: &[(&str, &str)]) -> Result<Plan, spec::Faults> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let project = spec::load(folder.path(), None, &spec::placeholder)?;
    plan(&project, &BTreeMap::new()).await
}

/// Says whether the long way through every test is wanted: `cargo xtask soak` sets `SEEDS`. It takes
/// far longer than a check of every change may.
pub(super) fn slow() -> bool {
    std::env::var_os("SEEDS").is_some()
}

/// Answers a question over a view, each row as a line of JSON, sorted.
pub(super) async fn ask(view: &View, sql: &str) -> String {
    try_ask(view, sql).await.unwrap()
}

/// As [`ask`], for a question that may be wrong.
pub(super) async fn try_ask(view: &View, sql: &str) -> Result<String, String> {
    ask_in(&session_over(view), sql).await
}

/// Returns a session that knows the tables of a view.
pub(super) fn session_over(view: &View) -> SessionContext {
    let session = crate::session::for_wholes(1 << 30).unwrap();
    for (name, table) in view.providers() {
        session.register_table(name.as_str(), table).unwrap();
    }
    session
}

/// Answers a question in a session.
pub(super) async fn ask_in(session: &SessionContext, sql: &str) -> Result<String, String> {
    let answer = session.sql(sql).await.map_err(|it| it.strip_backtrace())?;
    let batches = answer.collect().await.map_err(|it| it.strip_backtrace())?;
    let mut lines: Vec<String> = batches.iter().flat_map(rows::json::lines).collect();
    lines.sort();
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    Ok(text)
}

/// Fails unless every record of every stream is accounted for, and every table follows.
pub(super) fn assert_conserved(flow: &Flow) {
    for (name, stream) in &flow.stats().streams {
        assert!(stream.is_conserved(), "{name}: {stream:?}");
    }
    for (name, table) in &flow.stats().tables {
        assert_eq!(table.error, None, "{name}");
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}
