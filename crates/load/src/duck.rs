//! DuckDB in a process of its own, as the peer of questions over files and of loading them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::Ctx;

/// What speaks for it.
const SCRIPT: &str = include_str!("duck.py");

/// A running DuckDB; ended when dropped.
pub(crate) struct Duck {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    peak_mb: f64,
}

/// What an answer took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

impl Duck {
    /// Starts it with as many threads as the program has.
    pub(crate) fn start(ctx: &Ctx) -> anyhow::Result<Duck> {
        let python = ctx.peers.join("bin/python");
        ensure!(python.try_exists()?, "DuckDB is not installed: `cargo xtask peers`");
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start DuckDB")?;
        let input = child.stdin.take().context("its input is piped")?;
        let output = BufReader::new(child.stdout.take().context("its output is piped")?);
        let mut duck = Duck { child, input, output, peak_mb: 0.0 };
        duck.ask(&json!({"config": format!("SET threads = {}", threads())}))?;
        Ok(duck)
    }

    /// Shows Parquet files as a table.
    pub(crate) fn view(&mut self, name: &str, files: &Path) -> anyhow::Result<()> {
        let files = files.display();
        self.run(&format!("CREATE VIEW {name} AS SELECT * FROM '{files}'"))?;
        Ok(())
    }

    /// The 22 questions of TPC-H.
    pub(crate) fn tpch(&mut self) -> anyhow::Result<Vec<String>> {
        let answer = self.ask(&json!({"tpch": true}))?;
        let queries = answer.get("queries").and_then(Value::as_array).context("its queries")?;
        Ok(queries.iter().filter_map(|it| Some(it.as_str()?.to_owned())).collect())
    }

    /// Answers a statement.
    pub(crate) fn run(&mut self, sql: &str) -> anyhow::Result<Took> {
        took(&self.ask(&json!({"sql": sql}))?)
    }

    /// Answers a question with one whole number.
    pub(crate) fn count(&mut self, sql: &str) -> anyhow::Result<u64> {
        let answer = self.ask(&json!({"sql": sql}))?;
        answer.pointer("/rows/0/0").and_then(Value::as_u64).context("a number")
    }

    /// Answers a question, and says how our answer differs.
    pub(crate) fn compare(&mut self, sql: &str, ours: &Value) -> anyhow::Result<String> {
        let answer = self.ask(&json!({"sql": sql, "ours": ours}))?;
        let difference =
            answer.get("difference").and_then(Value::as_str).context("what differs")?;
        Ok(difference.to_owned())
    }

    /// Says whether our answer to a question of TPC-H at scale 1 is the published one.
    pub(crate) fn is_published(&mut self, number: usize, ours: &Value) -> anyhow::Result<bool> {
        let answer = self.ask(&json!({"sql": "SELECT 1", "ours": ours, "published": number}))?;
        answer.get("is_published").and_then(Value::as_bool).context("whether it is")
    }

    /// The most memory it has had, in megabytes.
    pub(crate) fn memory_mb_max(&self) -> f64 {
        self.peak_mb
    }

    fn ask(&mut self, question: &Value) -> anyhow::Result<Value> {
        writeln!(self.input, "{question}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("DuckDB does not answer {question}"))?;
        self.peak_mb = answer.get("peak_mb").and_then(Value::as_f64).unwrap_or_default();
        Ok(answer)
    }
}

fn took(answer: &Value) -> anyhow::Result<Took> {
    let of = |name| answer.get(name).and_then(Value::as_f64).with_context(|| format!("its {name}"));
    Ok(Took { seconds: of("seconds")?, cpu_seconds: of("cpu")? })
}

/// The cores of this machine, which both sides use.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Drop for Duck {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
