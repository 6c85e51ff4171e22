//! Tests of `upkeep`.
