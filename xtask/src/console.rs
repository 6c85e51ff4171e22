//! Builds the console's bundle, `web/dist`.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use crate::chore::{self, Outcome};

/// Builds the bundle if its sources are newer than it.
pub(crate) fn run(_arguments: &[String]) -> Outcome {
    if !chore::is_there(&["npm", "--version"]) {
        println!(
            "▸ no npm here: the program is built without the console; install Node with npm to get it"
        );
        return Ok(());
    }
    let web = chore::root().join("web");
    let built = newest(&web.join("dist"));
    let sources = ["src", "public", "index.html", "package-lock.json", "vite.config.ts"];
    let written = sources.iter().map(|it| newest(&web.join(it))).max().flatten();
    if built.is_some() && written < built {
        println!("▸ console: up to date");
        return Ok(());
    }
    install()?;
    bundle()
}

/// Builds the bundle and has the crate that embeds it compiled again: cargo does not see new files.
pub(crate) fn bundle() -> Outcome {
    chore::step("building the console", &mut chore::command("web", &["npm", "run", "build"]))?;
    let embeds = chore::root().join("crates/show/src/assets.rs");
    let touched = File::options().append(true).open(&embeds).and_then(|it| it.set_modified(now()));
    touched.map_err(|error| format!("{}: {error}", embeds.display()))
}

#[expect(clippy::disallowed_methods, reason = "the time of a file")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Installs the console's libraries as its lockfile says.
pub(crate) fn install() -> Outcome {
    let modules = chore::root().join("web/node_modules/.package-lock.json");
    if newest(&chore::root().join("web/package-lock.json")) < newest(&modules) {
        return Ok(());
    }
    let line = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"];
    chore::step("installing the console's libraries", &mut chore::command("web", &line))
}

/// When the newest file at or below `path` was written.
fn newest(path: &Path) -> Option<SystemTime> {
    let facts = fs::metadata(path).ok()?;
    if !facts.is_dir() {
        return facts.modified().ok();
    }
    let entries = fs::read_dir(path).ok()?;
    entries.filter_map(|entry| newest(&entry.ok()?.path())).max()
}
