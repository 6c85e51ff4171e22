//! Tests of `disk`.
