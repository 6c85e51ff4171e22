//! Rows at rest.
