//! Tests of `lake`.
