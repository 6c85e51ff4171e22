//! Random streams, with disorder, late rows, NULLs and kills, through random tables: what they show
//! is what one question over all rows says.
//!
//! `SEED=n` repeats one run, `SEEDS=n` makes so many. A run that fails is made smaller as far as it
//! still fails, and printed as a folder for `cases/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::case::{Case, compare_rows, send};
use super::random::draw::{Draw, Table};
use super::{World, ask_in, plan_of, session_over, slow};
use crate::flow::Flow;
use crate::plan::Plan;

mod draw;

const SHARDS: &[&[u32]] = &[&[0], &[0, 1], &[0, 1, 2]];

/// Refusals of tables that are drawn now and then.
const REFUSED: &[&str] = &["but does not select it"];

/// Runs that making a failing one smaller may take.
const SMALLER_RUNS_MAX: u32 = 400;

/// What is done after the records of a step are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Nothing,
    Tick,
    Flush,
    Crash,
    FlushAndCrash,
}

#[derive(Debug, Clone)]
struct Step {
    records: Vec<(String, String)>,
    deed: Deed,
    is_compared: bool,
}

/// One run: a project, and what happens.
#[derive(Debug, Clone)]
struct Run {
    seed: u64,
    tables: Vec<Table>,
    steps: Vec<Step>,
    shards: &'static [u32],
    /// Bytes of state in memory.
    memory: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut draw = Draw::new(seed);
        let tables = draw.tables();
        let shards = SHARDS[draw.below(SHARDS.len())];
        let mut steps = Vec::new();
        for number in 0..5 + draw.below(15) {
            let records = draw.records(number);
            let deeds = [
                Deed::Nothing,
                Deed::Tick,
                Deed::Tick,
                Deed::Tick,
                Deed::Flush,
                Deed::Flush,
                Deed::Crash,
                Deed::FlushAndCrash,
            ];
            let deed = *draw.one_of(&deeds);
            steps.push(Step { records, deed, is_compared: draw.below(4) == 0 });
        }
        // One in three has next to no memory, or little: drawn last, so that seeds keep their tables.
        let plenty = base::limits::STATE_BYTES_MAX;
        let memory = *draw.one_of(&[plenty, plenty, plenty, plenty, 1, 20_000]);
        Run { seed, tables, steps, shards, memory }.without_unread()
    }

    /// Drops the records of a stream that no table reads: the project does not have it.
    fn without_unread(mut self) -> Run {
        if !draw::reads_others(&self.tables) {
            let steps = self.steps.iter_mut();
            steps.for_each(|it| it.records.retain(|(stream, _)| stream != "others"));
        }
        self
    }

    /// Returns the SQL that asks for a table's rows in one go.
    fn question(&self, table: &Table) -> String {
        let mut with = Vec::new();
        for below in &self.tables {
            with.push(format!("{} AS ({})", below.name, below.sql));
            if below.name == table.name {
                break;
            }
        }
        let columns: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
        format!("WITH {} SELECT {} FROM {}", with.join(", "), columns.join(", "), table.name)
    }

    fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![
            ("mainstem.toml".to_owned(), draw::project(&self.tables)),
            ("places.csv".to_owned(), draw::PLACES.to_owned()),
        ];
        for table in &self.tables {
            files.push((format!("{}.sql", table.name), table.file()));
        }
        files
    }

    async fn plan(&self) -> Result<Plan, String> {
        let files = self.files();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        plan_of(&files).await.map_err(|it| it.to_string())
    }

    /// Runs it, and says the table that differs, and how.
    async fn go(&self) -> Result<(), String> {
        let plan = self.plan().await?;
        let mut world = World::of(plan, u32::try_from(self.shards.len()).unwrap(), self.seed);
        world.settings.state_bytes_max = self.memory;
        let mut flow = open(&world).await?;
        for (turn, step) in self.steps.iter().enumerate() {
            send(&world, &step.records, self.shards, turn).await;
            if !matches!(step.deed, Deed::Nothing | Deed::Crash) {
                tick(&mut flow).await?;
            }
            if matches!(step.deed, Deed::Flush | Deed::FlushAndCrash) {
                flow.flush().await.map_err(|it| it.to_string())?;
            }
            if matches!(step.deed, Deed::Crash | Deed::FlushAndCrash) {
                drop(flow);
                world.crash();
                flow = open(&world).await?;
            }
            if step.is_compared {
                tick(&mut flow).await?;
                self.compare(&flow).await.map_err(|it| format!("in step {turn}: {it}"))?;
            }
        }
        tick(&mut flow).await?;
        self.compare(&flow).await.map_err(|it| format!("as shown: {it}"))?;
        flow.flush().await.map_err(|it| it.to_string())?;
        self.compare(&flow).await.map_err(|it| format!("as stored: {it}"))?;
        drop(flow);
        world.crash();
        let mut flow = open(&world).await?;
        tick(&mut flow).await?;
        self.compare(&flow).await.map_err(|it| format!("taken up again: {it}"))
    }

    async fn compare(&self, flow: &Flow) -> Result<(), String> {
        for (name, table) in &flow.stats().tables {
            if let Some(error) = &table.error {
                return Err(format!("{name}: {error}"));
            }
        }
        let session = session_over(&flow.view());
        for table in &self.tables {
            let columns: Vec<&str> = table.columns.iter().map(|it| it.name.as_str()).collect();
            let shown = format!("SELECT {} FROM {}", columns.join(", "), table.name);
            let is = values(&ask_in(&session, &shown).await?);
            let should = values(&ask_in(&session, &self.question(table)).await?);
            compare_rows(&is, &should).map_err(|it| format!("{}: {it}", table.name))?;
        }
        Ok(())
    }

    /// Returns the runs that are one part smaller.
    fn smaller(&self) -> Vec<Run> {
        let mut all = Vec::new();
        let without = |steps: Vec<Step>| Run { steps, ..self.clone() };
        let name = |it: &Table| it.name.clone();
        for (place, table) in self.tables.iter().enumerate().rev() {
            let rest = self.tables.iter().enumerate().filter(|(it, _)| *it != place);
            let rest: Vec<Table> = rest.map(|(_, it)| it.clone()).collect();
            let is_read = rest.iter().any(|it| it.reads.contains(&name(table)));
            let is_tied = !draw::reads_others(&rest) || rest.iter().any(|it| it.name == "tie");
            if !is_read && !rest.is_empty() && is_tied {
                all.push(Run { tables: rest, ..self.clone() }.without_unread());
            }
        }
        for place in 0..self.steps.len() {
            let mut steps = self.steps.clone();
            steps.remove(place);
            all.push(without(steps));
        }
        for place in 0..self.steps.len() {
            for record in 0..self.steps[place].records.len() {
                let mut steps = self.steps.clone();
                steps[place].records.remove(record);
                all.push(without(steps));
            }
            for deed in [Deed::Nothing, Deed::Tick, Deed::Flush] {
                if self.steps[place].deed as u8 > deed as u8 {
                    let mut steps = self.steps.clone();
                    steps[place].deed = deed;
                    all.push(without(steps));
                }
            }
        }
        all
    }

    /// Makes the run smaller for as long as it still fails; returns it with its fault.
    async fn smallest(self, fault: String) -> (Run, String) {
        let (mut smallest, mut fault, mut runs) = (self, fault, 0);
        'again: loop {
            for smaller in smallest.smaller() {
                runs += 1;
                if SMALLER_RUNS_MAX < runs {
                    return (smallest, fault);
                }
                if let Err(still) = Box::pin(smaller.go()).await {
                    (smallest, fault) = (smaller, still);
                    continue 'again;
                }
            }
            return (smallest, fault);
        }
    }

    /// Returns the run as files of a folder of `cases/`, with what was done as a comment.
    async fn as_folder(&self) -> Vec<(String, String)> {
        let mut case = Case { files: self.files(), ..Case::default() };
        case.batches = self.steps.iter().map(|it| it.records.clone()).collect();
        case.batches.retain(|it| !it.is_empty());
        if let Ok(plan) = self.plan().await {
            let world = World::of(plan, 1, self.seed);
            let mut flow = open(&world).await.unwrap();
            for step in &self.steps {
                send(&world, &step.records, &[0], 0).await;
            }
            drop(tick(&mut flow).await);
            let session = session_over(&flow.view());
            for table in &self.tables {
                let rows = ask_in(&session, &self.question(table)).await.unwrap_or_default();
                case.expected.insert(table.name.clone(), values(&rows));
            }
        }
        let mut files = case.as_folder();
        let views =
            self.tables.iter().map(|it| format!("CREATE VIEW {} AS\n{};\n", it.name, it.sql));
        let views: Vec<String> = views.collect();
        files.push(("expected.sql".to_owned(), views.join("\n")));
        files
    }
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

async fn open(world: &World) -> Result<Flow, String> {
    Flow::open(world.setup()).await.map_err(|it| it.to_string())
}

async fn tick(flow: &mut Flow) -> Result<(), String> {
    flow.tick_all().await.map(|_| ()).map_err(|it| it.to_string())
}

/// Returns the run as text: what failed, what was done, and each file under its name.
async fn told(run: &Run, fault: &str) -> String {
    let mut text = format!("SEED={}: {fault}\n\nin {} shards", run.seed, run.shards.len());
    write!(text, ", {} bytes of state in memory; ", run.memory).unwrap();
    for (number, step) in run.steps.iter().enumerate() {
        let records = step.records.len();
        write!(text, "step {number}: {records} records, then {:?}; ", step.deed).unwrap();
    }
    for (name, contents) in run.as_folder().await {
        write!(text, "\n\n==> {name} <==\n{}", contents.trim_end()).unwrap();
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "a test is told its seeds from outside")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|it| it.parse().ok())
}

#[tokio::test]
async fn random_tables_simulated_show_what_one_question_says() {
    let usual = if slow() { 400 } else { 20 };
    let count = setting("SEEDS").unwrap_or(usual);
    let seeds = setting("SEED").map_or(0..count, |seed| seed..seed + 1);
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in seeds {
        let run = Run::new(seed);
        if run.plan().await.is_err_and(|it| REFUSED.iter().any(|words| it.contains(words))) {
            *kinds.entry("refused").or_default() += 1;
            continue;
        }
        if let Err(fault) = Box::pin(run.go()).await {
            let (smallest, fault) = Box::pin(run.smallest(fault)).await;
            panic!("{}", told(&smallest, &fault).await);
        }
        let plan = run.plan().await.unwrap();
        for table in plan.flows.iter().flat_map(|it| &it.tables) {
            let kind = if table.slices.is_some() { "by windows" } else { table.kind.as_str() };
            *kinds.entry(kind).or_default() += 1;
        }
    }
    println!("{kinds:?}");
}
