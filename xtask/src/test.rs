//! The one check, and the long and measured ones.

use std::process::Command;

use crate::chore::{self, Outcome};
use crate::{console, peers, seed};

/// Everything CI checks, in the order in which faults are cheapest to see.
pub(crate) fn run(_arguments: &[String]) -> Outcome {
    let cargo = chore::cargo();
    chore::step("format", &mut chore::command("", &[&cargo, "fmt", "--all", "--check"]))?;
    web()?;
    peers::run(&[])?;
    seed::restore();
    let lint =
        [&cargo, "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    chore::step("lints", &mut chore::command("", &lint))?;
    let build = [&cargo, "build", "--workspace", "--all-targets", "--locked"];
    chore::step("build", &mut chore::command("", &build))?;
    seed::save();
    chore::step("tests", &mut tests(&cargo))
}

fn tests(cargo: &str) -> Command {
    let mut command = if chore::is_there(&[cargo, "nextest", "--version"]) {
        chore::command("", &[cargo, "nextest", "run", "--workspace", "--locked", "--profile", "ci"])
    } else {
        println!(
            "\n  no cargo-nextest here: `cargo test` does the same, one crate after the other"
        );
        chore::command("", &[cargo, "test", "--workspace", "--locked", "--no-fail-fast"])
    };
    if chore::is_ci() {
        command.env("SLOW", "1");
    }
    command
}

fn web() -> Outcome {
    if !chore::is_there(&["npm", "--version"]) {
        if chore::is_ci() {
            return Err("npm is missing: install Node 20 with npm".to_owned());
        }
        println!("\n▸ no npm here: the console is neither built nor tested");
        return Ok(());
    }
    console::install()?;
    chore::step("the console's types", &mut chore::command("web", &["npm", "run", "check"]))?;
    chore::step("the console's tests", &mut chore::command("web", &["npm", "test"]))?;
    console::bundle()
}

/// Kills before the soak is content, and seeds of each simulation, unless the caller says otherwise.
const SOAK: &[(&str, &str)] = &[("SLOW", "1"), ("KILLS", "200"), ("SEEDS", "2000")];

/// The long kill test and the simulations with many seeds.
pub(crate) fn soak(_arguments: &[String]) -> Outcome {
    let cargo = chore::cargo();
    let chosen = "test(/kill|simulat|crash|exactly_once|five_minutes/)";
    let line =
        [&cargo, "nextest", "run", "--workspace", "--locked", "--profile", "soak", "-E", chosen];
    let mut command = chore::command("", &line);
    for (name, value) in SOAK {
        command.env(name, chore::setting(name).unwrap_or_else(|| (*value).to_owned()));
    }
    chore::step("soak", &mut command)
}

/// Measures everything beside its limit: first what needs no server, then the program over the
/// network. `--only`, `--seconds`, `--folder` and `--write` go to both.
pub(crate) fn bench(arguments: &[String]) -> Outcome {
    let cargo = chore::cargo();
    println!("building for speed: about half an hour on two cores the first time");
    let build = [&cargo, "build", "--workspace", "--release", "--locked"];
    chore::step("release build", &mut chore::command("", &build))?;
    let mut crates = chore::command("", &["target/release/mainstem", "bench"]);
    let mut load = chore::command("", &["target/release/load"]);
    if chore::is_there(&["python3", "--version"]) {
        events()?;
        crates.args(["--nexmark", EVENTS]);
        load.args(["--nexmark", EVENTS]);
    } else {
        println!("\n  no python3 here: Nexmark is left out");
    }
    chore::step("bench of the crates", crates.args(without_load(arguments)))?;
    chore::step("bench over the network", load.args(arguments))
}

/// Options that only the program `load` has; each has a value.
const OF_LOAD: &[&str] = &["--keys", "--peers", "--program"];

fn without_load(arguments: &[String]) -> Vec<&String> {
    let mut rest = arguments.iter();
    let mut found = Vec::new();
    while let Some(argument) = rest.next() {
        let (name, value) = argument
            .split_once('=')
            .map_or((argument.as_str(), None), |(it, value)| (it, Some(value)));
        if !OF_LOAD.contains(&name) {
            found.push(argument);
        } else if value.is_none() {
            rest.next();
        }
    }
    found
}

const EVENTS: &str = "target/nexmark";

/// Writes five million events of Nexmark, 10,000 a second.
fn events() -> Outcome {
    let written = chore::root().join(EVENTS).join("bid.ndjson").try_exists();
    if written.map_err(|error| format!("{EVENTS} cannot be read: {error}"))? {
        return Ok(());
    }
    let script = "examples/nexmark/generate.py";
    let line = ["python3", script, EVENTS, "--events", "5000000", "--rate", "10000"];
    chore::step("writing the events of Nexmark", &mut chore::command("", &line))
}
