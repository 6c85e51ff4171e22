//! Keeps compiled libraries in the user's cache, so that a fresh clone compiles only our crates.
//!
//! Folders of artefacts are copied, never shared: two clones with one target folder can run each
//! other's program. A copy is keyed by the lockfile, the manifest and the compiler.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use crate::chore;

/// Seeds kept at a time; an older one is of an older lockfile.
const SEEDS_MAX: usize = 2;

/// Copies the libraries into an empty target folder, if there is a seed that fits.
pub(crate) fn restore() {
    let target = chore::root().join("target/debug/deps");
    let has_libraries = fs::read_dir(&target).is_ok_and(|it| it.count() > 200);
    let Some(seed) = place().filter(|it| it.is_dir() && !has_libraries) else { return };
    let script = format!("mkdir -p target && cp -a '{}'/. target/", seed.display());
    if chore::step(
        "copying compiled libraries from the cache",
        &mut chore::command("", &["sh", "-c", &script]),
    )
    .is_err()
    {
        println!("  going on without them");
    }
}

/// Saves the libraries of a green build, without anything of our own crates.
pub(crate) fn save() {
    let Some(seed) = place().filter(|it| !it.is_dir()) else { return };
    let ours = "base spec journal rows ingest query store watch process show mainstem it xtask";
    let script = format!(
        "set -e; part='{seed}.part'; rm -rf \"$part\"; mkdir -p \"$part/debug\"; cp -a target/debug/.fingerprint target/debug/build target/debug/deps \"$part/debug/\"; \
         cp target/CACHEDIR.TAG \"$part/\" 2>/dev/null || true; cd \"$part/debug\"; \
         for it in {ours}; do rm -rf .fingerprint/$it-* build/$it-* deps/$it-* deps/lib$it-*; done; mv \"$part\" '{seed}'; \
         cd '{folder}'; ls -1td seed-* | tail -n +{first} | xargs -r rm -rf",
        seed = seed.display(),
        folder = seed.parent().unwrap_or(&seed).display(),
        first = SEEDS_MAX + 1,
    );
    if chore::step(
        "keeping the compiled libraries in the cache",
        &mut chore::command("", &["sh", "-c", &script]),
    )
    .is_err()
    {
        println!("  the next clone compiles them again");
    }
}

/// Where the seed for this lockfile and compiler lies.
fn place() -> Option<PathBuf> {
    let home = chore::setting("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(chore::setting("HOME")?).join(".cache")))?;
    let mut hasher = DefaultHasher::new();
    for file in ["Cargo.lock", "Cargo.toml"] {
        fs::read(chore::root().join(file)).ok()?.hash(&mut hasher);
    }
    chore::command("", &["rustc", "-vV"]).output().ok()?.stdout.hash(&mut hasher);
    Some(home.join("mainstem").join(format!("seed-{:016x}", hasher.finish())))
}
