//! Earlier versions of a table: which there are, and the rows of one.
//!
//! A version can be asked for as long as all of its files are there. Files stay for `history` after
//! they left the table, and a little longer, so that a question that began in time ends well. So the
//! oldest version that can be asked for is the one that was in force `history` ago. Versions of which
//! a snapshot was taken stay beyond that.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::limits;
use datafusion::catalog::TableProvider;
use serde::Deserialize;

use crate::disk::at;
use crate::error::Error;
use crate::layout::{Layout, Rest};
use crate::log::{Log, Read, version_of};
use crate::provider::LakeProvider;
use crate::schema;
use crate::state::State;
use crate::table::LakeTable;

/// For how long files stay after the last question that may need them could begin.
const MARGIN: Duration = limits::QUERY_DURATION_MAX;

/// Which earlier state of a table is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The version of this number.
    Version(u64),
    /// The version in force at this moment, in microseconds since 1970.
    Moment(i64),
}

/// The rows of one version.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its number.
    pub version: u64,
    /// The rows, in the columns they had then.
    pub rows: Arc<dyn TableProvider>,
}

/// What the log says of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// Its number.
    pub version: u64,
    /// When it was written, in milliseconds since 1970.
    pub made_ms: u64,
    /// What was done, in Delta's words.
    pub operation: String,
    /// The epoch that did it, if one did.
    pub epoch: Option<u64>,
    /// Files that came and that went.
    pub added: u64,
    /// See above.
    pub removed: u64,
    /// Files there are since then.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Whether its rows can be asked for.
    pub can_be_asked: bool,
}

/// Files of about one size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// No file is smaller.
    pub bytes_min: u64,
    /// All files are smaller; nothing in the last class.
    pub bytes_max: Option<u64>,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// How many of them are compressed strongly, as `cold` asks.
    pub cold_files: u64,
    /// The bytes of those.
    pub cold_bytes: u64,
}

/// The classes of a histogram of file sizes: where each begins. The first ones are those of compaction,
/// the last is of files that are full.
const CLASSES: [u64; 6] = [0, 64 << 10, 512 << 10, 4 << 20, 32 << 20, 128 << 20];

/// How long files stay that left the table, and how far back can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) kept_ms: u64,
    pub(crate) asked_ms: u64,
}

impl Reach {
    pub(crate) fn of(layout: &Layout, replaced_kept: Duration) -> Reach {
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        let (least, margin) = (millis(replaced_kept), millis(MARGIN));
        let history = layout.rest.history.map(|it| millis(it.0));
        Reach {
            kept_ms: history.map_or(least, |it| it.saturating_add(margin).max(least)),
            asked_ms: history.unwrap_or(0).max(least.saturating_sub(margin)),
        }
    }
}

impl LakeTable {
    /// Returns the rows as they were.
    ///
    /// # Errors
    /// When there is no such version, or not any more; the message says which there is.
    pub async fn as_of(&self, asked: AsOf) -> Result<Past, Error> {
        let (read, layout) = self.read_past(asked).await?;
        let version = read.version;
        let wrong = |reason| Error::Damaged { table: self.name.clone(), reason };
        let (columns, partitions) =
            (&read.metadata.schema_string, &read.metadata.partition_columns);
        let columns = schema::from_delta(columns, partitions).map_err(wrong)?;
        let layout = Layout {
            schema: Arc::new(columns),
            partition: None,
            rest: Rest::default(),
            ..(*layout).clone()
        };
        let state = State::new(&self.root, Arc::new(layout), read)?;
        Ok(Past { version, rows: Arc::new(LakeProvider::new(Arc::new(state.view()))) })
    }

    /// Reads a version out of the log, or out of the snapshot that was taken of it.
    pub(crate) async fn read_past(&self, asked: AsOf) -> Result<(Read, Arc<Layout>), Error> {
        let (layout, facts) = {
            let view = self.view();
            (Arc::clone(&view.layout), view.facts)
        };
        if let AsOf::Version(version) = asked
            && let Some(snapshot) = self.snapshot_of(version)
        {
            return Ok((snapshot.to_read(), layout));
        }
        let (log, now_ms) = (self.log.clone(), self.clock.now_ms());
        let asked_ms = Reach::of(&layout, self.settings.replaced_kept).asked_ms;
        let found = self.blocking(move || {
            let versions = log.versions()?;
            let oldest = log.in_force(&versions, now_ms.saturating_sub(asked_ms))?;
            let oldest = oldest.or_else(|| versions.first().copied()).unwrap_or(facts.version);
            let chosen = match asked {
                AsOf::Version(version) if facts.version.max(oldest) < version => {
                    let newest = facts.version.max(oldest);
                    return Err(log.no_past(format!(
                        "version {version} of table `{}` is not written yet: the newest is {newest}",
                        log.table(),
                    )));
                }
                AsOf::Version(version) => Some(version),
                AsOf::Moment(micros) => {
                    let moment_ms = u64::try_from(micros / 1_000).unwrap_or(0);
                    if now_ms < moment_ms {
                        let moment = rows::json::timestamp_text(micros);
                        return Err(log.no_past(format!("{moment} lies in the future")));
                    }
                    log.in_force(&versions, moment_ms)?
                }
            };
            match chosen {
                Some(version) if oldest <= version => Ok(version),
                _ => Err(log.too_old(asked, oldest)),
            }
        });
        let version = found.await?;
        Ok((self.log.read_at(version, &layout.app_id()).await?, layout))
    }

    /// Returns what the log says of all versions that it still has, oldest first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn versions(&self) -> Result<Vec<VersionFacts>, Error> {
        let layout = Arc::clone(&self.view().layout);
        let log = self.log.clone();
        let versions = self.blocking(move || log.versions()).await?;
        let before = match versions.first() {
            None => return Ok(Vec::new()),
            Some(0) => None,
            Some(first) => Some(self.log.read_at(*first, &layout.app_id()).await?),
        };
        let asked_ms = Reach::of(&layout, self.settings.replaced_kept).asked_ms;
        let since_ms = self.clock.now_ms().saturating_sub(asked_ms);
        let log = self.log.clone();
        let mut told = self.blocking(move || log.told(&versions, before)).await?;
        let next_ms: Vec<u64> = told.iter().skip(1).map(|it| it.made_ms).collect();
        for (at, version) in told.iter_mut().enumerate() {
            // One that was replaced before that may lack files by now.
            let is_reached = next_ms.get(at).is_none_or(|it| since_ms < *it);
            version.can_be_asked = is_reached || self.snapshot_of(version.version).is_some();
        }
        Ok(told)
    }

    /// Returns the files by size, small ones first.
    pub fn file_sizes(&self) -> Vec<SizeClass> {
        let class = |at: usize| SizeClass {
            bytes_min: CLASSES.get(at).copied().unwrap_or(0),
            bytes_max: CLASSES.get(at + 1).copied(),
            ..SizeClass::default()
        };
        let mut classes: Vec<SizeClass> = (0..CLASSES.len()).map(class).collect();
        for file in &self.view().files {
            let at = CLASSES.partition_point(|it| *it <= file.bytes).saturating_sub(1);
            let Some(class) = classes.get_mut(at) else { continue };
            class.files += 1;
            class.bytes += file.bytes;
            class.rows += file.facts.as_ref().map_or(0, |it| it.rows);
            if file.is_cold() {
                class.cold_files += 1;
                class.cold_bytes += file.bytes;
            }
        }
        classes
    }
}

/// The parts of a line of the log that say what happened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    commit_info: Option<ToldCommit>,
    meta_data: Option<ToldTable>,
    add: Option<ToldFile>,
    remove: Option<ToldFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldCommit {
    timestamp: Option<i64>,
    operation: Option<String>,
    operation_parameters: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldTable {
    created_time: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldFile {
    path: String,
    #[serde(default)]
    size: u64,
    stats: Option<String>,
    deletion_timestamp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldStatistics {
    num_records: u64,
}

/// Bytes and rows of a file.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    rows: u64,
}

/// The files of a version, while the log is followed.
#[derive(Default)]
struct Files {
    by_path: HashMap<String, Size>,
    bytes: u64,
    rows: u64,
}

impl Files {
    fn add(&mut self, path: String, bytes: u64, statistics: Option<&String>) {
        // Only the count is read: the log of a large table is long.
        let told = statistics.and_then(|it| serde_json::from_str::<ToldStatistics>(it).ok());
        let size = Size { bytes, rows: told.map_or(0, |it| it.num_records) };
        self.remove(&path);
        self.by_path.insert(path, size);
        self.bytes += size.bytes;
        self.rows += size.rows;
    }

    fn remove(&mut self, path: &str) {
        if let Some(size) = self.by_path.remove(path) {
            self.bytes -= size.bytes;
            self.rows -= size.rows;
        }
    }
}

fn to_ms(timestamp: Option<i64>) -> Option<u64> {
    timestamp.and_then(|it| u64::try_from(it).ok())
}

/// All of these wait for the disk.
impl Log {
    /// Lists the versions that stand in the log one by one, in order.
    pub(crate) fn versions(&self) -> Result<Vec<u64>, Error> {
        let folder = self.folder();
        let entries = std::fs::read_dir(&folder).map_err(at("list", &folder))?;
        let mut versions = Vec::new();
        for entry in entries {
            let name = entry.map_err(at("list", &folder))?.file_name();
            let name = name.to_string_lossy();
            versions.extend(version_of(&name).filter(|_| name.len() == 25));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// Returns the last of `versions` that was written at that moment or before.
    pub(crate) fn in_force(&self, versions: &[u64], moment_ms: u64) -> Result<Option<u64>, Error> {
        let (mut from, mut to) = (0, versions.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            let Some(version) = versions.get(middle) else { break };
            // One that is gone meanwhile is older than all that count.
            if self.made_ms(*version)?.unwrap_or(0) <= moment_ms {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from.checked_sub(1).and_then(|it| versions.get(it)).copied())
    }

    /// Returns when a version was written; nothing if it does not stand in the log any more.
    pub(crate) fn made_ms(&self, version: u64) -> Result<Option<u64>, Error> {
        let path = self.path_of(version);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("read", &path)(error)),
        };
        let modified = file.metadata().and_then(|it| it.modified()).ok();
        let mut created = None;
        for line in BufReader::new(file).lines() {
            let told = self.line(&path, &line.map_err(at("read", &path))?)?;
            if let Some(made_ms) = told.commit_info.and_then(|it| to_ms(it.timestamp)) {
                return Ok(Some(made_ms));
            }
            created = created.or_else(|| told.meta_data.and_then(|it| to_ms(it.created_time)));
        }
        let since = modified.and_then(|it| it.duration_since(std::time::UNIX_EPOCH).ok());
        let modified_ms = since.and_then(|it| u64::try_from(it.as_millis()).ok());
        Ok(Some(created.or(modified_ms).unwrap_or(0)))
    }

    /// Returns when files left the table, as far as the log goes back.
    pub(crate) fn left_ms(&self) -> Result<HashMap<String, u64>, Error> {
        let mut left = HashMap::new();
        for version in self.versions()? {
            let made_ms = self.made_ms(version)?.unwrap_or(0);
            for told in self.lines(version)? {
                if let Some(file) = told.remove {
                    let left_ms = to_ms(file.deletion_timestamp).unwrap_or(made_ms);
                    left.insert(file.path, left_ms);
                }
            }
        }
        Ok(left)
    }

    fn told(&self, versions: &[u64], before: Option<Read>) -> Result<Vec<VersionFacts>, Error> {
        let base = before.as_ref().map(|it| it.version);
        let mut files = Files::default();
        for file in before.into_iter().flat_map(|it| it.files) {
            files.add(file.path, file.size, file.stats.as_ref());
        }
        let mut all: Vec<VersionFacts> = Vec::with_capacity(versions.len());
        for version in versions {
            let Some(made_ms) = self.made_ms(*version)? else { continue };
            let mut facts = VersionFacts { version: *version, made_ms, ..VersionFacts::default() };
            for told in self.lines(*version)? {
                facts.take(told, (base != Some(*version)).then_some(&mut files));
            }
            if facts.operation.is_empty() {
                "CREATE TABLE".clone_into(&mut facts.operation);
            }
            // The clock of a machine may be set back; versions only go on.
            facts.made_ms = facts.made_ms.max(all.last().map_or(0, |it| it.made_ms));
            facts.files = files.by_path.len() as u64;
            (facts.bytes, facts.rows) = (files.bytes, files.rows);
            all.push(facts);
        }
        Ok(all)
    }

    fn lines(&self, version: u64) -> Result<Vec<Told>, Error> {
        let path = self.path_of(version);
        match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().map(|it| self.line(&path, it)).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(at("read", &path)(error)),
        }
    }

    fn line(&self, path: &Path, line: &str) -> Result<Told, Error> {
        serde_json::from_str(line).map_err(|error| Error::Damaged {
            table: self.table().to_owned(),
            reason: format!("`{}`: {error}", path.display()),
        })
    }

    fn no_past(&self, reason: String) -> Error {
        Error::Past { table: self.table().to_owned(), reason, is_gone: false }
    }

    fn too_old(&self, asked: AsOf, oldest: u64) -> Error {
        let made_ms = self.made_ms(oldest).ok().flatten().unwrap_or(0);
        let since = i64::try_from(made_ms).unwrap_or(0).saturating_mul(1_000);
        let since = rows::json::timestamp_text(since);
        let table = self.table();
        let what = match asked {
            AsOf::Version(version) => format!("version {version} of table `{table}` is gone"),
            AsOf::Moment(micros) => {
                let moment = rows::json::timestamp_text(micros);
                format!("the rows that table `{table}` had at {moment} are gone, or were not yet")
            }
        };
        let reason =
            format!("{what}: the oldest version that can be asked for is {oldest}, of {since}");
        Error::Past { table: table.to_owned(), reason, is_gone: true }
    }
}

impl VersionFacts {
    /// Takes over what a line says; `files` are those of the version before.
    fn take(&mut self, told: Told, files: Option<&mut Files>) {
        if let Some(commit) = told.commit_info {
            self.operation = commit.operation.unwrap_or_default();
            let parameters = commit.operation_parameters.unwrap_or_default();
            let epoch = parameters.get("epoch").and_then(|it| it.as_str()?.parse().ok());
            self.epoch = self.epoch.or(epoch);
        }
        self.added += u64::from(told.add.is_some());
        self.removed += u64::from(told.remove.is_some());
        let Some(files) = files else { return };
        if let Some(file) = told.remove {
            files.remove(&file.path);
        }
        if let Some(file) = told.add {
            files.add(file.path, file.size, file.stats.as_ref());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
