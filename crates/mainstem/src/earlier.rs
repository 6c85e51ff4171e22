//! Earlier versions of stored tables: asked for with `AS OF`, and gone back to.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use base::{Glob, Kind};
use datafusion::catalog::TableProvider;
use ingest::{BucketRestored, BucketWanted};
use process::TableKind;
use query::{AsOf, Past, SqlError};
use show::{AskError, Restore, Restored, RestoredObjects};
use store::LakeTable;

use crate::pipeline::Pipeline;

/// Finds a stored table by its name.
type Find = dyn Fn(&str) -> Option<Arc<LakeTable>> + Send + Sync;

/// Stored tables as they were.
pub(crate) struct Earlier(pub(crate) Box<Find>);

#[async_trait]
impl Past for Earlier {
    async fn table(&self, name: &str, asked: AsOf) -> Result<Arc<dyn TableProvider>, SqlError> {
        let Some(table) = (self.0)(name) else {
            let message = format!("`{name}` has no earlier versions");
            let help =
                "only what is stored has versions; a lookup is read from its file".to_owned();
            return Err(error(Kind::Invalid, "0A000", message, Some(help)));
        };
        let asked = match asked {
            AsOf::Version(version) => store::AsOf::Version(version),
            AsOf::Moment(micros) => store::AsOf::Moment(micros),
        };
        Ok(table.as_of(asked).await.map_err(|it| refusal(&it))?.rows)
    }
}

fn error(kind: Kind, sqlstate: &'static str, message: String, help: Option<String>) -> SqlError {
    SqlError { kind, sqlstate, message, range: None, help }
}

fn refusal(wrong: &store::Error) -> SqlError {
    let message = wrong.to_string();
    match wrong {
        store::Error::Past { is_gone: true, .. } => {
            error(wrong.kind(), "72000", message, Some(KEEP_LONGER.to_owned()))
        }
        store::Error::Past { .. } => error(wrong.kind(), "22023", message, None),
        _ => error(wrong.kind(), "58030", message, None),
    }
}

const KEEP_LONGER: &str =
    "`history = \"30 days\"` keeps versions for so long from now on; `system.versions` lists them";

impl Pipeline {
    /// Lets the rows of a table be again what they were.
    pub(crate) async fn restore(&self, wanted: Restore) -> Result<Restored, AskError> {
        let running = self.now();
        let name = wanted.table.as_str();
        if running.project.buckets.contains_key(name) {
            return self.restore_bucket(&wanted).await;
        }
        if wanted.key.is_some() || wanted.delete {
            let message = format!("`{name}` is no bucket, so it has no objects to choose");
            return Err(AskError::new(Kind::Invalid, message));
        }
        let missing = || AskError::new(Kind::Missing, format!("table `{name}` not found"));
        let flow = running.flow_of(name).ok_or_else(missing)?;
        let view = flow.view();
        let shown = view.tables.get(name).ok_or_else(missing)?;
        if let Some((message, help)) = refused(name, shown.kind) {
            let help = Some(help.to_owned());
            return Err(AskError { help, ..AskError::new(Kind::Invalid, message) });
        }
        let stored = running.stored(name).ok_or_else(missing)?;
        let asked = match (wanted.version, wanted.moment_ms) {
            (Some(version), None) => store::AsOf::Version(version),
            (None, Some(moment_ms)) => store::AsOf::Moment(
                i64::try_from(moment_ms).unwrap_or(i64::MAX).saturating_mul(1_000),
            ),
            _ => {
                let message = "say the version, or the moment, and not both";
                return Err(AskError::new(Kind::Invalid, message));
            }
        };
        // What is not stored yet would come on top of what is gone back to.
        let failed = |it: process::Error| AskError::new(it.kind(), it.to_string());
        flow.flush().await.map_err(failed)?;
        let restored = match running.served(name) {
            // What is found by key goes back with it.
            Some((_, table)) => table.served.restore(asked).await,
            None => stored.restore(asked).await,
        };
        let restored = restored.map_err(|it| {
            let is_gone = matches!(it, store::Error::Past { is_gone: true, .. });
            let help = is_gone.then(|| KEEP_LONGER.to_owned());
            AskError { help, ..AskError::new(it.kind(), it.to_string()) }
        })?;
        flow.renew(wanted.table.clone()).await.map_err(failed)?;
        let store::Restored { from, version, rows_before, rows } = restored;
        tracing::info!(table = name, from, version, rows_before, rows, "went back to a version");
        Ok(Restored { from, version, rows_before, rows, objects: None })
    }

    /// Lets objects of a bucket be again what they were.
    async fn restore_bucket(&self, wanted: &Restore) -> Result<Restored, AskError> {
        let invalid = |message: String| AskError::new(Kind::Invalid, message);
        if wanted.version.is_some() == wanted.moment_ms.is_some() {
            return Err(invalid("say the snapshot, or the moment, and not both".to_owned()));
        }
        let key = wanted.key.as_deref().map(Glob::new).transpose().map_err(invalid)?;
        let (number, moment_ms) = (wanted.version, wanted.moment_ms);
        let asked = BucketWanted { number, moment_ms, key, delete: wanted.delete };
        let name = wanted.table.as_str();
        let missing = || AskError::new(Kind::Missing, format!("bucket `{name}` is not open"));
        let done = self.inlet.restore_bucket(name, asked).await.ok_or_else(missing)?;
        let done = done.map_err(|message| AskError {
            help: Some("`SELECT * FROM system.snapshots` lists those there are".to_owned()),
            ..invalid(message)
        })?;
        let BucketRestored { number, restored, same, deleted, altered, lost } = done;
        tracing::info!(bucket = name, number, restored, deleted, "went back to a snapshot");
        let objects = Some(RestoredObjects { restored, same, deleted, altered, lost });
        Ok(Restored { from: number, objects, ..Restored::default() })
    }
}

/// Says why the rows of such a table cannot go back, and what to do instead.
fn refused(name: &str, kind: TableKind) -> Option<(String, &'static str)> {
    match kind {
        TableKind::Append | TableKind::Windowed => None,
        TableKind::Raw | TableKind::Dead => Some((
            format!("`{name}` holds what was received, and nothing received is taken out"),
            "ask for the rows of then with `FROM NAME VERSION AS OF N`",
        )),
        TableKind::Running | TableKind::Recomputed => Some((
            format!("`{name}` is made anew from what it reads, again and again"),
            "let what it reads go back, or ask for the rows of then with `VERSION AS OF N`",
        )),
        TableKind::Lookup => {
            Some((format!("`{name}` is read from a file"), "put the file of then in its place"))
        }
    }
}

/// Reads a moment as people write it.
pub(crate) fn moment_ms(text: &str) -> anyhow::Result<u64> {
    let moment: jiff::Timestamp =
        text.parse().context("write the moment as 2026-01-05T10:00:00Z")?;
    Ok(u64::try_from(moment.as_millisecond()).unwrap_or(0))
}
