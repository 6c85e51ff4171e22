//! Records become rows.
