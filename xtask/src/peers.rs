//! Installs the real clients that tests talk to: they are what users have.

use std::fs;

use crate::chore::{self, Outcome};

/// Python packages, pinned, so that a test that passed goes on passing.
const PYTHON: &[&str] = &[
    "boto3==1.44.5",
    "aws-kinesis-agg==1.2.3",
    "psycopg[binary]==3.3.9",
    "duckdb==1.5.5",
    "duckdb-extension-delta==1.5.5",
    "deltalake==1.6.6",
    "pyarrow",
];

/// Makes `target/peers`, a Python environment with the clients, and sees that Chromium is there.
///
/// What cannot be installed is named; the tests that need it then skip and say so, except in CI,
/// where it is an error.
pub(crate) fn run(_arguments: &[String]) -> Outcome {
    let problems: Vec<String> =
        [python(), chromium()].into_iter().filter_map(Result::err).collect();
    for problem in &problems {
        println!("  not available: {problem}; the tests that need it skip");
    }
    if chore::is_ci() && !problems.is_empty() { Err(problems.join("; ")) } else { Ok(()) }
}

fn python() -> Outcome {
    let folder = chore::root().join("target/peers");
    let wanted = PYTHON.join("\n");
    let mark = folder.join("installed.txt");
    if fs::read_to_string(&mark).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    if !chore::is_there(&["python3", "--version"]) {
        return Err("python3 is not installed".to_owned());
    }
    fs::create_dir_all(&folder).map_err(|error| format!("target/peers: {error}"))?;
    let make = ["python3", "-m", "venv", "target/peers"];
    chore::step("making a Python environment for test clients", &mut chore::command("", &make))?;
    let mut install = vec![
        "target/peers/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    install.extend(PYTHON);
    chore::step(
        "installing test clients (boto3, psycopg, DuckDB, delta-rs)",
        &mut chore::command("", &install),
    )?;
    fs::write(&mark, wanted).map_err(|error| format!("target/peers/installed.txt: {error}"))
}

fn chromium() -> Outcome {
    if chore::is_there(&["chromium", "--version"]) {
        return Ok(());
    }
    let is_root = chore::is_there(&["sh", "-c", "test $(id -u) = 0"]);
    if !is_root || !chore::is_there(&["apt-get", "--version"]) {
        return Err(
            "chromium is not installed (as root on Debian this chore installs it)".to_owned()
        );
    }
    let script = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium > /dev/null";
    chore::step(
        "installing Chromium for the console's tests",
        &mut chore::command("", &["sh", "-c", script]),
    )
}
