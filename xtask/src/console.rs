//! Builds the console's bundle, `web/dist`.

use std::fs;
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
    chore::step("building the console", &mut chore::command("web", &["npm", "run", "build"]))
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
