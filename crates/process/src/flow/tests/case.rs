//! One case: the files of a project, its records in batches, the rows that its tables must have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::{World, ask_in, plan_of, session_over};
use crate::flow::Flow;
use crate::plan::Plan;

/// Files of a case that are no part of its project.
const BESIDE: &[&str] = &["in.jsonl", "out.jsonl", "expected.sql"];

/// How far two numbers may lie apart, as a share of the greater: sums are taken in another order.
const TOLERANCE: f64 = 1e-9;

/// Rows named in a fault; more would hide the difference.
const ROWS_TOLD_MAX: usize = 8;

/// Records that arrive together: the stream of each, and its bytes.
pub(super) type Batch = Vec<(String, String)>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) files: Vec<(String, String)>,
    pub(super) batches: Vec<Batch>,
    /// The rows of each table that is compared, by the columns they name.
    pub(super) expected: BTreeMap<String, Vec<Value>>,
}

impl Case {
    /// Reads a case from its folder.
    pub(super) fn read(folder: &Path) -> Case {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut case = Case { name, ..Case::default() };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !BESIDE.contains(&name.as_str()) {
                case.files.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
        case.files.sort();
        case.batches.push(Vec::new());
        for line in std::fs::read_to_string(folder.join("in.jsonl")).unwrap().lines() {
            if line.is_empty() {
                case.batches.push(Vec::new());
            } else {
                case.batches.last_mut().unwrap().push(record(line));
            }
        }
        for line in std::fs::read_to_string(folder.join("out.jsonl")).unwrap().lines() {
            let (table, row) = pair(line);
            let rows = case.expected.entry(table).or_default();
            // `null` says that the table has no rows at all.
            rows.extend(Some(row).filter(|it| !it.is_null()));
        }
        assert!(!case.expected.is_empty(), "{}: out.jsonl names no table", case.name);
        case
    }

    /// Plans the case's project, which must be one flow.
    pub(super) async fn plan(&self) -> Result<Plan, String> {
        let files: Vec<(&str, &str)> =
            self.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let plan = plan_of(&files).await.map_err(|it| it.to_string())?;
        let names: Vec<&str> = plan.flows.iter().map(|it| it.name.as_str()).collect();
        match names.as_slice() {
            [_one] => Ok(plan),
            several => Err(format!("the streams and tables are {} flows", several.len())),
        }
    }

    /// Returns whether a table sends late rows to the dead letters: then it matters which rows come
    /// in one tick.
    pub(super) fn depends_on_ticks(&self) -> bool {
        self.files.iter().any(|(_, text)| text.contains("late = \"dead\""))
    }

    /// Says what a flow shows otherwise than it should.
    pub(super) async fn compare(&self, flow: &Flow) -> Result<(), String> {
        let stats = flow.stats();
        for (name, stream) in &stats.streams {
            if !stream.is_conserved() {
                return Err(format!("{name} does not add up: {stream:?}"));
            }
        }
        for (name, table) in &stats.tables {
            if let Some(error) = &table.error {
                return Err(format!("{name}: {error}"));
            }
        }
        let session = session_over(&flow.view());
        for (table, should) in &self.expected {
            let columns: Vec<String> = match should.first().and_then(Value::as_object) {
                Some(first) => first.keys().map(|it| format!("\"{it}\"")).collect(),
                None => vec!["*".to_owned()],
            };
            let sql = format!("SELECT {} FROM \"{table}\"", columns.join(", "));
            let is = ask_in(&session, &sql).await?;
            let is: Vec<Value> = is.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
            compare_rows(&is, should).map_err(|it| format!("{table}: {it}"))?;
        }
        Ok(())
    }

    /// Writes the case as files, each with its name: what a folder of `cases/` holds.
    pub(super) fn as_folder(&self) -> Vec<(String, String)> {
        let line = |name: &str, json: &str| format!("{{{}:{json}}}\n", Value::from(name));
        let batch =
            |it: &Batch| it.iter().map(|(stream, record)| line(stream, record)).collect::<String>();
        let records: Vec<String> = self.batches.iter().map(batch).collect();
        let mut rows = String::new();
        for (table, of_table) in &self.expected {
            let none = [Value::Null];
            let of_table = if of_table.is_empty() { &none } else { of_table.as_slice() };
            of_table.iter().for_each(|it| rows.push_str(&line(table, &it.to_string())));
        }
        let mut files = self.files.clone();
        files.push(("in.jsonl".to_owned(), records.join("\n")));
        files.push(("out.jsonl".to_owned(), rows));
        files
    }
}

/// Returns the one name and value of an object.
fn pair(line: &str) -> (String, Value) {
    let object: Map<String, Value> = serde_json::from_str(line).unwrap();
    object.into_iter().next().unwrap()
}

/// Returns a stream and a record's bytes as they are written, so that no number changes.
fn record(line: &str) -> (String, String) {
    let mut object: BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(line).unwrap();
    let (stream, record) = object.pop_first().unwrap();
    (stream, record.get().to_owned())
}

/// Says which rows are missing and which are too many.
pub(super) fn compare_rows(is: &[Value], should: &[Value]) -> Result<(), String> {
    let mut left: Vec<&Value> = is.iter().collect();
    let mut missing = Vec::new();
    for row in should {
        match left.iter().position(|it| is_same(it, row)) {
            Some(place) => drop(left.swap_remove(place)),
            None => missing.push(row),
        }
    }
    if missing.is_empty() && left.is_empty() {
        return Ok(());
    }
    let mut told = String::new();
    for (word, rows) in [("missing", &missing), ("too many", &left)] {
        for row in rows.iter().take(ROWS_TOLD_MAX) {
            write!(told, "\n  {word}: {row}").unwrap();
        }
        if ROWS_TOLD_MAX < rows.len() {
            write!(told, "\n  {word}: {} more", rows.len() - ROWS_TOLD_MAX).unwrap();
        }
    }
    Err(told)
}

/// Returns whether two values are the same, but for the last digits of numbers with a fraction.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            if let (Some(one), Some(other)) = (one.as_i64(), other.as_i64()) {
                return one == other;
            }
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_same = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|it| is_same(value, it))
            };
            one.len() == other.len() && one.iter().all(is_same)
        }
        _ => one == other,
    }
}

/// One way through a case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) ticks: Ticks,
    /// Whether each batch is an epoch; else nothing is durable before the end but the journal.
    pub(super) is_flushed: bool,
    /// The batch after which the program is killed and begins again.
    pub(super) killed_after: Option<usize>,
    /// The shards that get records, before and after the kill.
    pub(super) shards: Shards,
    /// Bytes of state in memory.
    pub(super) memory: usize,
}

/// Shards before and after.
pub(super) type Shards = (&'static [u32], &'static [u32]);

/// Which records come in one tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ticks {
    /// Those of a batch.
    Batches,
    /// All there are.
    One,
    /// Each for itself.
    Each,
}

/// One shard before and after.
pub(super) const STRAIGHT: Way = Way {
    ticks: Ticks::Batches,
    is_flushed: false,
    killed_after: None,
    shards: (&[0], &[0]),
    memory: base::limits::STATE_BYTES_MAX,
};

/// Runs a case in one way, and says what is not as it should be: shown, stored, or taken up again.
pub(super) async fn go(case: &Case, plan: &Plan, way: Way) -> Result<(), String> {
    let run = async {
        let mut world = World::of(plan.clone(), shards_of(way), 1);
        world.settings.state_bytes_max = way.memory;
        let mut flow = try_open(&world).await?;
        let mut shards = way.shards.0;
        for (at, batch) in regrouped(&case.batches, way.ticks).iter().enumerate() {
            send(&world, batch, shards, at).await;
            tick(&mut flow).await?;
            if way.is_flushed {
                flow.flush().await.map_err(|it| it.to_string())?;
            }
            if way.killed_after == Some(at) {
                drop(flow);
                world.crash();
                // Shards that get nothing any more must not hold back the others.
                world.pass(std::time::Duration::from_secs(60));
                shards = way.shards.1;
                flow = try_open(&world).await?;
                tick(&mut flow).await?;
            }
        }
        case.compare(&flow).await.map_err(|it| format!("as shown: {it}"))?;
        flow.flush().await.map_err(|it| it.to_string())?;
        case.compare(&flow).await.map_err(|it| format!("as stored: {it}"))?;
        if way.killed_after.is_some() {
            return Ok(());
        }
        drop(flow);
        world.crash();
        let mut flow = try_open(&world).await?;
        tick(&mut flow).await?;
        case.compare(&flow).await.map_err(|it| format!("taken up again: {it}"))
    };
    run.await.map_err(|it: String| format!("{}, {way:?}: {it}", case.name))
}

pub(super) fn shards_of(way: Way) -> u32 {
    way.shards.0.iter().chain(way.shards.1).max().unwrap() + 1
}

async fn try_open(world: &World) -> Result<Flow, String> {
    Flow::open(world.setup()).await.map_err(|it| it.to_string())
}

async fn tick(flow: &mut Flow) -> Result<u64, String> {
    flow.tick_all().await.map_err(|it| it.to_string())
}

fn regrouped(batches: &[Batch], ticks: Ticks) -> Vec<Batch> {
    match ticks {
        Ticks::Batches => batches.to_vec(),
        Ticks::One => vec![batches.concat()],
        Ticks::Each => batches.concat().into_iter().map(|it| vec![it]).collect(),
    }
}

/// Writes the records of a batch down, in turn to each of the shards.
pub(super) async fn send(world: &World, batch: &[(String, String)], shards: &[u32], turn: usize) {
    let mut of_stream: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (stream, record) in batch {
        of_stream.entry(stream).or_default().push(record);
    }
    for (stream, lines) in of_stream {
        let places = (turn..).map(|it| shards.get(it % shards.len()).copied().unwrap());
        let lines: Vec<(u32, &str)> = places.zip(lines).collect();
        world.send_to(stream, &lines).await;
    }
}
