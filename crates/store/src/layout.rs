//! How a table is to lie on disk, as its declaration says.

use std::collections::BTreeMap;

use arrow::datatypes::{Schema, SchemaRef};
use base::{Name, Span};
use spec::{PartitionUnit, Snapshots};

/// What the lake needs to know of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The table's name, also the name of its folder; `orders__dead` and the like included.
    pub name: Name,
    /// The columns; exactly these are shown by `LakeTable::provider`.
    pub schema: SchemaRef,
    /// What columns are, by name, for people who read the table with other programs.
    pub comments: BTreeMap<String, String>,
    /// How files are told apart, if the declaration says so.
    pub partition: Option<Partition>,
    /// How long rows are kept; for ever if not said. Needs `time`.
    pub keep: Option<Span>,
    /// How rows are kept beyond that.
    pub rest: Rest,
    /// The timestamp column that tells a row's age.
    pub time: Option<String>,
    /// The flow that fills the table, for people who read the log.
    pub flow: String,
    /// Which making of the table this is; transactions are counted per incarnation.
    pub incarnation: String,
}

/// How rows are kept beyond `keep`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    /// How long earlier versions can be asked for.
    pub history: Option<Span>,
    /// The columns by which rows are ordered where files are merged.
    pub cluster: Vec<String>,
    /// How often a version is kept for longer, and how many.
    pub snapshots: Option<Snapshots>,
    /// How old all rows of a file must be when it is compressed strongly.
    pub cold: Option<Span>,
}

/// Rows whose value of `column` (or the named part of its time) differs never share a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The column.
    pub column: String,
    /// The part of its time; the value itself if not said.
    pub unit: Option<PartitionUnit>,
}

impl Layout {
    /// Returns the name under which the table's transactions stand in its log.
    pub(crate) fn app_id(&self) -> String {
        format!("{}@{}", self.name, self.incarnation)
    }
}

/// What changed columns ask of the rows that are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// A type grew, so all files are written again.
    pub rewrites: bool,
    /// Columns that are `not null` from now on: no stored row may be null there.
    pub values: Vec<String>,
}

impl Asked {
    /// Compares the columns as they are stored with those that are declared.
    ///
    /// # Errors
    /// Which column cannot become what is declared, and what to do.
    pub fn of(stored: &Schema, declared: &Schema) -> Result<Asked, String> {
        let evolution = crate::schema::evolve(stored, declared)?;
        Ok(Asked { rewrites: evolution.rewrite, values: evolution.no_longer_null })
    }
}

impl From<&spec::Partition> for Partition {
    fn from(declared: &spec::Partition) -> Partition {
        Partition { column: declared.column.clone(), unit: declared.unit }
    }
}

impl From<&spec::Rest> for Rest {
    fn from(declared: &spec::Rest) -> Rest {
        let cluster = declared.cluster.iter().map(ToString::to_string);
        Rest {
            history: declared.history,
            cluster: cluster.collect(),
            snapshots: declared.snapshots,
            cold: declared.cold,
        }
    }
}
