//! Lists the objects of a bucket page by page, in the order of their keys.
//!
//! Folders are walked in that order and only as far as a page needs: what comes before it, or can
//! not begin with the prefix, is not entered, and with the delimiter `/` nothing below it is.

use std::fs;
use std::io;
use std::path::Path;

use crate::bucket::cold::Cold;
use crate::s3::folder::{Facts, Folder};
use crate::s3::key::Key;

/// Which page of a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) prefix: String,
    /// Keys that have this behind the prefix are told as one, up to it.
    pub(crate) delimiter: Option<String>,
    /// Only what comes behind this.
    pub(crate) after: String,
    pub(crate) max: usize,
}

/// One entry of a list.
#[derive(Debug)]
pub(crate) enum Entry {
    Object(String, Facts),
    /// What several keys begin with.
    Prefix(String),
}

impl Entry {
    pub(crate) fn key(&self) -> &str {
        match self {
            Entry::Object(key, _) | Entry::Prefix(key) => key,
        }
    }
}

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Whether there is more.
    pub(crate) is_cut: bool,
}

impl Folder {
    pub(crate) fn list(&self, asked: &Asked) -> io::Result<Page> {
        let cold = self.cold();
        let mut walk = Walk { root: self.root(), cold, asked, page: Page::default() };
        if 0 < asked.max {
            walk.enter(self.root(), "")?;
        }
        Ok(walk.page)
    }
}

struct Walk<'a> {
    root: &'a Path,
    cold: Option<&'a Cold>,
    asked: &'a Asked,
    page: Page,
}

impl Walk<'_> {
    /// Walks a folder whose keys begin with `above`.
    fn enter(&mut self, folder: &Path, above: &str) -> io::Result<()> {
        let cold = self.cold.map(|it| it.names_in(above)).unwrap_or_default();
        let mut keys = match names_in(folder, above) {
            Ok(keys) => keys,
            // It was taken away just now, or is no folder but of what is cold.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if cold.is_empty() {
                    return Ok(());
                }
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        keys.extend(cold);
        if keys.is_empty() && !above.is_empty() {
            return self.take(folder, above);
        }
        keys.retain(|it| self.may_hold(it));
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            if self.page.is_cut {
                break;
            }
            let path = self.root.join(&key);
            match self.group_of(&key) {
                Some(group) => self.take_group(group),
                None if key.ends_with('/') => self.enter(&path, &key)?,
                None => self.take(&path, &key)?,
            }
        }
        Ok(())
    }

    /// Whether a key, or one below it if it is a folder, can be on the page.
    fn may_hold(&self, key: &str) -> bool {
        let Asked { prefix, after, .. } = self.asked;
        if key.ends_with('/') {
            let is_begun = key.starts_with(prefix.as_str()) || prefix.starts_with(key);
            return is_begun && (after.as_str() < key || after.starts_with(key));
        }
        key.starts_with(prefix.as_str()) && after.as_str() < key
    }

    /// Returns what a key is told as, if it is not told as itself.
    fn group_of(&self, key: &str) -> Option<String> {
        let Asked { prefix, delimiter, .. } = self.asked;
        let delimiter = delimiter.as_deref().filter(|it| !it.is_empty())?;
        let behind = key.strip_prefix(prefix.as_str())?;
        let (name, _) = behind.split_once(delimiter)?;
        Some(format!("{prefix}{name}{delimiter}"))
    }

    fn take_group(&mut self, group: String) {
        let is_told = matches!(self.page.entries.last(), Some(Entry::Prefix(it)) if *it == group);
        if is_told || group <= self.asked.after {
            return;
        }
        self.push(Entry::Prefix(group));
    }

    /// Takes an object; a folder that is empty is one of no bytes.
    fn take(&mut self, path: &Path, key: &str) -> io::Result<()> {
        if key <= self.asked.after.as_str() || !key.starts_with(&self.asked.prefix) {
            return Ok(());
        }
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(found) = self.cold.and_then(|it| it.find(key)) {
                    self.push(Entry::Object(key.to_owned(), Facts::of_cold(&found)));
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Ok(name) = Key::new(key) else { return Ok(()) };
        if name.is_folder() {
            self.push(Entry::Object(key.to_owned(), Facts::of_folder(&name, &facts)));
            return Ok(());
        }
        // A link to a file counts while the file lies in the bucket.
        let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink());
        let leads_out = is_link && !path.canonicalize().is_ok_and(|it| it.starts_with(self.root));
        if facts.is_file() && !leads_out {
            self.push(Entry::Object(key.to_owned(), Facts::of(self.root, key, &facts)));
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry) {
        if self.page.entries.len() < self.asked.max {
            self.page.entries.push(entry);
        } else {
            self.page.is_cut = true;
        }
    }
}

/// Returns the keys of what lies in a folder; those of folders end in `/`.
fn names_in(folder: &Path, above: &str) -> io::Result<Vec<String>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|it| !it.starts_with('.')) else { continue };
        let end = if entry.file_type()?.is_dir() { "/" } else { "" };
        keys.push(format!("{above}{name}{end}"));
    }
    Ok(keys)
}
