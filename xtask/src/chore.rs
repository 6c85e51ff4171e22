//! What every chore does: run commands from the root, say what and how long.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// A chore's end; the text says what went wrong and what to do.
pub(crate) type Outcome = Result<(), String>;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root").to_owned()
}

/// Whether nobody watches: CI sets `CI`.
pub(crate) fn is_ci() -> bool {
    setting("CI").is_some()
}

/// Reads a setting from the environment.
#[expect(clippy::disallowed_methods, reason = "the chores have no other settings")]
pub(crate) fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|it| !it.is_empty())
}

/// Makes a command that runs in `folder` below the root.
///
/// What `cargo run` tells a program of itself is left out: libraries whose build reads it would be
/// compiled once for the chores and again for a plain `cargo`.
pub(crate) fn command(folder: &str, line: &[&str]) -> Command {
    let (program, arguments) = line.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(root().join(folder)).stdin(Stdio::null());
    command
}

/// Says what runs, runs it with its output shown, and says how long it took.
pub(crate) fn step(title: &str, command: &mut Command) -> Outcome {
    println!("\n▸ {title}");
    let started = now();
    let status = command
        .status()
        .map_err(|error| format!("{title}: cannot start {:?}: {error}", command.get_program()))?;
    let seconds = started.elapsed().as_secs_f32();
    if status.success() {
        println!("  done in {seconds:.1} s");
        Ok(())
    } else {
        Err(format!("{title} failed after {seconds:.1} s ({status}); its output is above"))
    }
}

/// Whether `line` can be run at all.
pub(crate) fn is_there(line: &[&str]) -> bool {
    command("", line)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> String {
    setting("CARGO").unwrap_or_else(|| "cargo".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "chores measure wall time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
