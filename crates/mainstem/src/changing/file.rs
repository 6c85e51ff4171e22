//! The file of a table that SQL made: where it lies, what it says of itself, and how it is written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use query::NewTable;

/// What the first line begins with.
const MARK: &str = "-- made in SQL by ";

/// What stands before the sum of what follows the first line.
const SUM: &str = "; sum ";

/// Returns where the file of a table lies in the project's folder.
pub(crate) fn path_of(name: &str) -> String {
    format!("tables/{name}.sql")
}

/// Returns the text of a table's file.
pub(crate) fn text_of(asker: &str, table: &NewTable) -> String {
    let mut rest = String::from(
        "-- CREATE OR REPLACE TABLE and DROP TABLE change this file as long as nobody edits it;\n\
         -- edited, it is one of the project's files like any other.\n",
    );
    if !table.settings.is_empty() {
        let settings = table.settings.iter().map(|(name, value)| format!("{name} = {value}\n"));
        rest += &format!("/*\n{}*/\n", settings.collect::<String>());
    }
    rest += &format!("{}\n", table.select);
    format!("{MARK}{asker}{SUM}{:016x}\n{rest}", sum_of(&rest))
}

/// Returns whether SQL made a file, and nobody edited it since.
pub(crate) fn is_ours(text: &str) -> bool {
    let Some((first, rest)) = text.split_once('\n') else { return false };
    let sum = first.strip_prefix(MARK).and_then(|it| it.rsplit_once(SUM)).map(|(_, sum)| sum);
    sum.is_some_and(|it| it == format!("{:016x}", sum_of(rest)))
}

/// Returns whether SQL made a file that may have been edited since.
pub(crate) fn was_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

/// FNV-1a: the sum tells edits, it guards against nobody.
fn sum_of(text: &str) -> u64 {
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Writes a file of the project, or removes it, and returns what stood there: after a crash it is
/// there as a whole or as it was. What is not a file that SQL made is never written over.
pub(crate) fn replace(
    dir: &Path,
    path: &str,
    text: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let target = dir.join(path);
    let parent = target.parent().context("a file lies in a folder")?;
    if fs::symlink_metadata(parent).is_ok_and(|it| it.is_symlink()) {
        bail!("{} is a link, and links are not followed", parent.display());
    }
    let before = match fs::read_to_string(&target) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", target.display()));
        }
    };
    if before.as_deref().is_some_and(|it| !is_ours(it)) {
        bail!("{} was not made in SQL, and is not written over", target.display());
    }
    let written = match text {
        Some(text) => write(parent, &target, text, before.is_some()),
        None => fs::remove_file(&target),
    };
    written.with_context(|| format!("cannot write {}", target.display()))?;
    sync(parent).with_context(|| format!("cannot write {}", parent.display()))?;
    Ok(before)
}

fn write(parent: &Path, target: &Path, text: &str, may_replace: bool) -> io::Result<()> {
    fs::create_dir_all(parent)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Neither a name of a project file.
    let part = parent.join(format!(".{name}.unfinished"));
    let mut file = File::create(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if may_replace {
        return fs::rename(&part, target);
    }
    // Unlike a rename, a link never takes the place of a file that came meanwhile.
    let linked = fs::hard_link(&part, target);
    fs::remove_file(&part)?;
    linked
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

#[cfg(test)]
mod tests;
