//! Tests of a project: given records, expected rows.

use std::collections::BTreeMap;

use base::Name;

use crate::source::Spot;

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// Records of streams and rows of lookups, in the order of their lines.
    pub given: BTreeMap<Name, Vec<Line>>,
    /// Rows of tables (`orders__dead` too), in any order.
    pub expect: BTreeMap<String, Vec<Line>>,
}

/// One line of NDJSON: an object.
#[derive(Debug, Clone)]
pub struct Line {
    /// The line.
    pub text: String,
    /// Where it stands.
    pub spot: Spot,
}
