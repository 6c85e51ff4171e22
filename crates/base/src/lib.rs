//! The words every crate shares: names, ids, time, sizes, limits, kinds of errors, tasks.
//!
//! It knows no I/O but the clock, and none of the other crates.

pub mod error;
pub mod figure;
pub mod glob;
pub mod id;
pub mod limits;
pub mod name;
pub mod nearest;
pub mod shown;
pub mod size;
pub mod task;
pub mod time;
pub mod unfinished;

pub use crate::error::Kind;
pub use crate::glob::Glob;
pub use crate::id::{Epoch, Place, SequenceNumber, ShardId};
pub use crate::name::Name;
pub use crate::nearest::nearest;
pub use crate::shown::ShownKey;
pub use crate::size::ByteSize;
pub use crate::time::{Clock, Span};
pub use crate::unfinished::unfinished;
