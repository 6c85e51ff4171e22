//! The words every crate shares.
