//! The key that a request showed: told by the guard to whoever answers it.

use crate::Name;

/// A key of the project, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey(pub Name);
