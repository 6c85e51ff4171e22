//! The language of the project files: what a user writes, checked as a whole.
//!
//! [`load`] reads a folder of TOML and SQL and returns the [`Project`], or every fault at once,
//! each with its file, line, column and what to write instead. It knows the grammar and the
//! references between things; it knows no engine, so unknown columns and types inside SQL are
//! found by others and reported through [`SqlText::fault`] and [`Word::fault`].
//!
//! ```text
//! folder ──► source: files ──► document: TOML, overlays ──► sections: one type each ──► Project
//!                                                             sql: one SELECT, what it reads
//! ```

mod alert;
mod bucket;
mod column;
mod ctx;
mod dashboard;
mod document;
mod door;
mod fault;
mod files;
mod graph;
mod key;
mod link;
mod load;
mod lookup;
mod mail;
mod names;
mod project;
mod rest;
mod said;
mod schema;
mod secret;
mod section;
mod serve;
mod source;
mod sql;
mod stream;
mod table;
mod test;

pub use crate::alert::{Alert, AlertOn, Notify, NotifyFormat};
pub use crate::bucket::Bucket;
pub use crate::column::{Column, ColumnType, Described};
pub use crate::dashboard::{Chart, ChartFill, ChartKind, Dashboard};
pub use crate::door::{DoorUse, Options};
pub use crate::fault::{Fault, Faults, Severity};
pub use crate::graph::{Edge, Flow, Graph, Node, NodeKind};
pub use crate::key::{Key, QueryLimits, Rate, Right};
pub use crate::load::{Sound, Texts, load, load_sound, load_sound_texts, load_texts, stamp};
pub use crate::lookup::{Lookup, LookupFormat};
pub use crate::mail::{Mail, MailSafety, MailServer, Mailbox};
pub use crate::names::name_like;
pub use crate::project::Project;
pub use crate::rest::{Rest, Snapshots, Upkeep};
pub use crate::schema::json_schema;
pub use crate::secret::{Secret, placeholder};
pub use crate::serve::Serve;
pub use crate::source::{SourceFile, Spot, Word};
pub use crate::sql::SqlText;
pub use crate::stream::infer::schema_path;
pub use crate::stream::{Check, Format, Shards, Stream};
pub use crate::table::batch::{Batch, Missed, NewObject, Starts};
pub use crate::table::check::{CheckSeverity, Holds, Percent, TableCheck};
pub use crate::table::{Late, Partition, PartitionUnit, Table};
pub use crate::test::{Line, Test};
