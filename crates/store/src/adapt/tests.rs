//! Tests of `adapt`.
