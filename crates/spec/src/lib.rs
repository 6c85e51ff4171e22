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
mod dashboard;
mod fault;
mod project;
mod secret;
mod source;
mod sql;
mod stream;
mod table;
mod test;

pub use crate::alert::{Alert, AlertOn, Notify, NotifyFormat};
pub use crate::dashboard::{Chart, ChartKind, Dashboard};
pub use crate::fault::{Fault, Faults, Severity};
pub use crate::project::Project;
pub use crate::secret::{Secret, placeholder};
pub use crate::source::{SourceFile, Spot, Word};
pub use crate::sql::SqlText;
pub use crate::stream::{Check, Column, ColumnType, DoorUse, Format, Lookup, Stream};
pub use crate::table::{Late, Partition, PartitionUnit, Table};
pub use crate::test::{Line, Test};
