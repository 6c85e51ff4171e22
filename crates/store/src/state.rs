//! What a table holds at one version of its log, in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use base::Epoch;
use datafusion::common::{ScalarValue, Statistics};

use crate::error::Error;
use crate::file::Purpose;
use crate::layout::Layout;
use crate::log::{Add, MetaData, Read, Remove};
use crate::partition::Split;
use crate::schema;
use crate::statistics::{ColumnFacts, FileFacts};
use crate::table::Facts;

/// A file of the table.
#[derive(Debug, Clone)]
pub(crate) struct LakeFile {
    /// Where, from the table's folder.
    pub(crate) path: String,
    /// Where, from the root of the file system.
    pub(crate) location: object_store::path::Path,
    pub(crate) bytes: u64,
    pub(crate) modified_ms: i64,
    /// Its values of the partition columns.
    pub(crate) values: BTreeMap<String, Option<String>>,
    /// What is known of its rows; nothing if another program left it out.
    pub(crate) facts: Option<FileFacts>,
    /// The same in the planner's words, for the declared columns.
    pub(crate) planner: Arc<Statistics>,
}

/// The table as its owner sees it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) layout: Arc<Layout>,
    /// How rows are told apart into files.
    pub(crate) split: Option<Split>,
    /// The columns of files: the declared ones, then hidden ones that were declared once.
    pub(crate) columns: SchemaRef,
    pub(crate) metadata: MetaData,
    pub(crate) version: u64,
    pub(crate) epoch: Epoch,
    pub(crate) files: BTreeMap<String, Arc<LakeFile>>,
    pub(crate) committed_ms: u64,
    /// The log may say more than is known here: read it before anything else is done.
    pub(crate) is_stale: bool,
}

/// The table as readers see it: never changes.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) layout: Arc<Layout>,
    pub(crate) schema: SchemaRef,
    pub(crate) files: Vec<Arc<LakeFile>>,
    pub(crate) facts: Facts,
}

impl LakeFile {
    /// Returns whether its rows are old and compressed strongly.
    pub(crate) fn is_cold(&self) -> bool {
        Purpose::of(&self.path) == Some(Purpose::Cold)
    }

    /// Makes it of its line in the log.
    pub(crate) fn new(
        root: &Path,
        add: Add,
        columns: &SchemaRef,
        declared: usize,
    ) -> Result<LakeFile, String> {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "._=-/".contains(it);
        let is_inside = !add.path.starts_with('/') && add.path.split('/').all(|it| it != "..");
        if !is_inside || !add.path.chars().all(is_plain) {
            return Err(format!("another program added the file `{}`", add.path));
        }
        let location = object_store::path::Path::from_absolute_path(root.join(&add.path))
            .map_err(|it| it.to_string())?;
        let facts = add.stats.as_deref().and_then(|it| FileFacts::from_json(it, columns));
        let planner = match &facts {
            Some(facts) => facts.to_planner(declared),
            None => Statistics {
                column_statistics: Statistics::unknown_column(columns)
                    .into_iter()
                    .take(declared)
                    .collect(),
                ..Statistics::default()
            },
        };
        Ok(LakeFile {
            location,
            bytes: add.size,
            modified_ms: add.modification_time,
            values: add.partition_values,
            facts,
            planner: Arc::new(planner),
            path: add.path,
        })
    }

    /// Returns what is known of a column of it.
    pub(crate) fn column(&self, index: usize) -> Option<&ColumnFacts> {
        self.facts.as_ref()?.columns.get(index)
    }

    /// Returns the bounds of a timestamp column in microseconds, and its nulls.
    pub(crate) fn times(&self, index: usize) -> Option<Times> {
        let column = self.column(index)?;
        let micros = |value: &Option<ScalarValue>| match value {
            Some(ScalarValue::TimestampMicrosecond(it, _)) => *it,
            Some(_) | None => None,
        };
        Some(Times { min: micros(&column.min)?, max: micros(&column.max)?, nulls: column.nulls? })
    }

    /// Returns the line that takes it out of the table.
    pub(crate) fn to_remove(&self, now_ms: i64, data_change: bool) -> Remove {
        Remove {
            path: self.path.clone(),
            deletion_timestamp: now_ms,
            data_change,
            extended_file_metadata: true,
            partition_values: self.values.clone(),
            size: self.bytes,
        }
    }
}

/// Bounds of a timestamp column in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) nulls: u64,
}

impl State {
    /// Makes it of what the log says; the columns are those that are stored.
    pub(crate) fn new(root: &Path, layout: Arc<Layout>, read: Read) -> Result<State, Error> {
        let table = layout.name.to_string();
        let damaged = |reason| Error::Damaged { table: table.clone(), reason };
        let stored =
            schema::from_delta(&read.metadata.schema_string, &read.metadata.partition_columns)
                .map_err(damaged)?;
        let wrong = |reason| Error::Layout { table: table.clone(), reason };
        let evolution = schema::evolve(&stored, &layout.schema).map_err(wrong)?;
        let split = layout.partition.as_ref();
        let split =
            split.map(|it| Split::new(it, &evolution.columns)).transpose().map_err(wrong)?;
        for column in &layout.rest.cluster {
            if layout.schema.field_with_name(column).is_err() {
                return Err(wrong(format!(
                    "its rows are ordered by `{column}`, which is no column of it; correct `cluster`"
                )));
            }
        }
        let mut state = State {
            split,
            columns: evolution.columns,
            version: read.version,
            epoch: read.epoch,
            files: BTreeMap::new(),
            committed_ms: 0,
            is_stale: false,
            metadata: read.metadata,
            layout,
        };
        for add in read.files {
            let modified_ms = u64::try_from(add.modification_time).unwrap_or(0);
            state.committed_ms = state.committed_ms.max(modified_ms);
            state.add(root, add)?;
        }
        Ok(state)
    }

    /// Takes a file in.
    pub(crate) fn add(&mut self, root: &Path, add: Add) -> Result<(), Error> {
        let declared = self.layout.schema.fields().len();
        let file =
            LakeFile::new(root, add, &self.columns, declared).map_err(|reason| Error::Layout {
                table: self.layout.name.to_string(),
                reason: format!("{reason}; move the folder `{}` away", root.display()),
            })?;
        self.files.insert(file.path.clone(), Arc::new(file));
        Ok(())
    }

    /// Returns what readers see.
    pub(crate) fn view(&self) -> View {
        let files: Vec<_> = self.files.values().map(Arc::clone).collect();
        let rows = |it: &Arc<LakeFile>| it.facts.as_ref().map_or(0, |it| it.rows);
        let facts = Facts {
            files: files.len() as u64,
            bytes: files.iter().map(|it| it.bytes).sum(),
            rows: files.iter().map(rows).sum(),
            version: self.version,
            committed_ms: self.committed_ms,
        };
        let (layout, schema) = (Arc::clone(&self.layout), Arc::clone(&self.layout.schema));
        View { layout, schema, files, facts }
    }

    /// Returns where a timestamp column stands.
    pub(crate) fn time_column(&self, name: &str) -> Result<usize, String> {
        let (index, field) = self
            .columns
            .column_with_name(name)
            .ok_or_else(|| format!("it has no column `{name}`"))?;
        match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Ok(index),
            other => Err(format!("its column `{name}` is {other}, not a timestamp")),
        }
    }

    /// Returns in one line how files lie that are written now.
    pub(crate) fn shape(&self) -> String {
        let columns = self.columns.fields().iter();
        let columns: Vec<_> =
            columns.map(|it| format!("{}:{}", it.name(), it.data_type())).collect();
        let split = self.split.as_ref().map_or("", |it| it.declared.as_str());
        format!("{}|{split}", columns.join(","))
    }
}
