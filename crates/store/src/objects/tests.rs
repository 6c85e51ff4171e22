//! Tests of `objects`.
