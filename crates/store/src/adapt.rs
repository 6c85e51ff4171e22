//! Opening a table: making it, or letting what is stored follow a changed declaration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use base::{Clock, limits};
use uuid::Uuid;

use crate::disk::{Disk, at};
use crate::error::Error;
use crate::history::Reach;
use crate::lake::Settings;
use crate::layout::Layout;
use crate::log::{Format, Line, Log, MetaData, Protocol};
use crate::partition::Split;
use crate::schema;
use crate::snapshot;
use crate::state::State;
use crate::table::{LakeTable, Version, blocking};

/// The setting of a table that says how its rows are told apart, in a project's words.
const PARTITION: &str = "mainstem.partition";

/// Opens the table in `root`, making it if it is not there.
pub(crate) async fn open(
    root: &Path,
    layout: Layout,
    disk: Disk,
    clock: Arc<dyn Clock>,
    settings: Settings,
) -> Result<LakeTable, Error> {
    let log = Log::new(&layout.name, root, disk.clone());
    let (ours, folder, made_by) = (log.clone(), root.to_owned(), disk.clone());
    let first = first_version(&layout, &clock, &settings)?;
    let snapshots = blocking(&layout.name, move || {
        made_by.create_folders(&folder).map_err(at("make the folder", &folder))?;
        if !ours.settle()? {
            // If another program makes the table at this moment, its version is read below.
            ours.append(0, &first)?;
        }
        snapshot::read_all(ours.table(), &folder, &made_by)
    })
    .await?;
    let read = log.read(&layout.app_id()).await?;
    let layout = Arc::new(layout);
    let state = State::new(root, layout, read)?;
    let table = LakeTable::new(root.to_owned(), log, (state, snapshots), disk, clock, settings);
    let mut state = table.state.lock().await;
    table.follow(&mut state).await?;
    drop(state);
    Ok(table)
}

fn first_version(
    layout: &Layout,
    clock: &Arc<dyn Clock>,
    settings: &Settings,
) -> Result<Vec<Line>, Error> {
    let wrong = |reason| Error::Layout { table: layout.name.to_string(), reason };
    let split = layout.partition.as_ref();
    let split = split.map(|it| Split::new(it, &layout.schema)).transpose().map_err(wrong)?;
    let metadata = MetaData {
        id: Uuid::new_v4().to_string(),
        name: Some(layout.name.to_string()),
        format: Format { provider: "parquet".to_owned(), options: BTreeMap::new() },
        schema_string: String::new(),
        partition_columns: Vec::new(),
        configuration: BTreeMap::new(),
        created_time: i64::try_from(clock.now_ms()).ok(),
    };
    let columns = (&*layout.schema, &layout.comments);
    let mut metadata = described(&metadata, columns, split.as_ref()).map_err(wrong)?;
    let kept_ms = Reach::of(layout, settings.replaced_kept).kept_ms;
    metadata.configuration.extend(kept_for_others(kept_ms));
    Ok(vec![Line::Protocol(Protocol::ours()), Line::MetaData(metadata)])
}

/// Tells other programs for how long older versions can be read.
fn kept_for_others(kept_ms: u64) -> [(String, String); 2] {
    let kept = format!("interval {} seconds", kept_ms / 1_000);
    [
        ("delta.logRetentionDuration".to_owned(), kept.clone()),
        ("delta.deletedFileRetentionDuration".to_owned(), kept),
    ]
}

/// Returns the metadata with other columns, what is said about them, and partitions.
fn described(
    metadata: &MetaData,
    (columns, comments): (&Schema, &BTreeMap<String, String>),
    split: Option<&Split>,
) -> Result<MetaData, String> {
    let partition = split.map(|it| (it.name.as_str(), it.delta_type()));
    let mut described = metadata.clone();
    described.schema_string = schema::to_delta(columns, comments, partition)?;
    described.partition_columns = split.iter().map(|it| it.name.clone()).collect();
    described.configuration.remove(PARTITION);
    let declared = split.map(|it| (PARTITION.to_owned(), it.declared.clone()));
    described.configuration.extend(declared);
    Ok(described)
}

impl LakeTable {
    /// Takes over a changed declaration while the program runs.
    pub(crate) async fn redeclare(&self, layout: Layout) -> Result<(), Error> {
        let state = self.state.lock().await;
        if *state.layout == layout && !state.is_stale {
            return Ok(());
        }
        self.read_again(state, layout).await
    }

    /// Takes over what was written to the log past this table.
    pub(crate) async fn reread(&self, layout: Layout) -> Result<(), Error> {
        self.read_again(self.state.lock().await, layout).await
    }

    async fn read_again(
        &self,
        mut state: tokio::sync::MutexGuard<'_, State>,
        layout: Layout,
    ) -> Result<(), Error> {
        // Not by the declaration that is over: what the log says now may not fit it any more.
        let log = self.log.clone();
        self.blocking(move || log.settle()).await?;
        let read = self.log.read(&layout.app_id()).await?;
        let committed_ms = state.committed_ms;
        let mut next = State::new(&self.root, Arc::new(layout), read)?;
        next.committed_ms = next.committed_ms.max(committed_ms);
        self.follow(&mut next).await?;
        *state = next;
        Ok(())
    }

    /// Lets what is stored follow the declaration in `state`, in one version.
    async fn follow(&self, state: &mut State) -> Result<(), Error> {
        for _ in 0..limits::LAKE_COMMIT_TRIES_MAX {
            self.refresh(state).await?;
            let Some(version) = self.adaptation(state).await? else {
                self.show(state);
                return Ok(());
            };
            let written = version.add.iter().map(|it| it.path.clone()).collect();
            if self.publish(state, version).await? {
                return Ok(());
            }
            self.discard(written).await;
        }
        Err(Error::Contended { table: self.name.clone(), tries: limits::LAKE_COMMIT_TRIES_MAX })
    }

    /// Returns the version that makes the table what is declared, if it is not.
    async fn adaptation(&self, state: &State) -> Result<Option<Version>, Error> {
        let wrong = |reason| Error::Layout { table: self.name.clone(), reason };
        let old = &state.metadata;
        let stored =
            schema::from_delta(&old.schema_string, &old.partition_columns).map_err(wrong)?;
        let evolution = schema::evolve(&stored, &state.layout.schema).map_err(wrong)?;
        for column in &evolution.no_longer_null {
            self.check_no_nulls(state, column)?;
        }
        let columns = (&*evolution.columns, &state.layout.comments);
        let mut new = described(old, columns, state.split.as_ref()).map_err(wrong)?;
        let is_commented =
            schema::comments(&old.schema_string) == schema::comments(&new.schema_string);
        let is_told = self.tell_others(state, &mut new);
        let is_moved = new.partition_columns != old.partition_columns
            || (old.configuration.contains_key(PARTITION)
                && old.configuration.get(PARTITION) != new.configuration.get(PARTITION));
        let has_same_columns = has_same_columns(&stored, &evolution.columns);
        let is_same = !is_moved && has_same_columns;
        if is_same && is_told && is_commented {
            return Ok(None);
        }
        let mut version = Version {
            operation: match (is_same, is_commented) {
                (false, _) => "REPLACE COLUMNS",
                (true, false) => "CHANGE COLUMN",
                (true, true) => "SET TBLPROPERTIES",
            },
            metadata: Some(new),
            data_change: true,
            ..Version::default()
        };
        if is_moved || evolution.rewrite {
            tracing::info!(table = %self.name, files = state.files.len(), "rewriting the files");
            version.remove = state.files.values().map(Arc::clone).collect();
            let (place, files) = (self.place(state), version.remove.clone());
            version.add = self
                .blocking(move || {
                    let mut add = Vec::new();
                    for file in &files {
                        let written = place.write_again(file, |_| Ok(None))?;
                        let lines = written.into_iter();
                        add.extend(lines.map(|it| place.to_add(it, file.modified_ms, true)));
                    }
                    Ok(add)
                })
                .await?;
        }
        Ok(Some(version))
    }

    /// Lets the metadata say how long versions are kept; returns whether it said so before.
    fn tell_others(&self, state: &State, metadata: &mut MetaData) -> bool {
        if state.layout.rest.history.is_none() {
            return true;
        }
        let reach = Reach::of(&state.layout, self.settings.replaced_kept);
        let mut is_told = true;
        for (key, kept) in kept_for_others(reach.kept_ms) {
            is_told &= metadata.configuration.insert(key, kept.clone()) == Some(kept);
        }
        is_told
    }

    /// A column may be `not null` only if no stored row has a null there.
    fn check_no_nulls(&self, state: &State, column: &str) -> Result<(), Error> {
        let index = state.columns.index_of(column).ok();
        let has_none = state.files.values().all(|file| {
            let known = index.and_then(|it| file.column(it)).and_then(|it| it.nulls);
            known == Some(0) || file.facts.as_ref().is_some_and(|it| it.rows == 0)
        });
        if has_none {
            return Ok(());
        }
        let reason = format!(
            "stored rows have no value in column `{column}`, so it cannot be `not null`; leave \
             out `not null`"
        );
        Err(Error::Layout { table: self.name.clone(), reason })
    }
}

fn has_same_columns(stored: &Schema, columns: &SchemaRef) -> bool {
    let is_stored = |field: &Arc<arrow::datatypes::Field>| {
        stored.field_with_name(field.name()).is_ok_and(|old| {
            schema::is_same_type(old.data_type(), field.data_type())
                && old.is_nullable() == field.is_nullable()
        })
    };
    stored.fields().len() == columns.fields().len() && columns.fields().iter().all(is_stored)
}

#[cfg(test)]
mod tests;
