//! Tests of `statistics`.
