//! Rows at rest.

mod error;
mod lake;
mod layout;
mod table;

pub use crate::error::Error;
pub use crate::lake::{Lake, Maintained, Settings};
pub use crate::layout::{Layout, Partition};
pub use crate::table::{Facts, LakeTable};
