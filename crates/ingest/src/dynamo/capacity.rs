//! `ReturnConsumedCapacity`: what a request would have cost at AWS. Nothing is charged or held back
//! by it here.

use serde::Serialize;

use crate::aws::validate::Constraints;

/// What of its cost a request wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    Total,
    Indexes,
}

/// The cost of a request, as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConsumedCapacity {
    table_name: String,
    capacity_units: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Units>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Units {
    capacity_units: f64,
}

/// A unit of reading is so many bytes, read consistently; half a unit is as many read otherwise.
const READ_BYTES: usize = 4 << 10;

/// A unit of writing is so many bytes.
const WRITE_BYTES: usize = 1 << 10;

impl Wanted {
    /// Reads the option of a request; what is wrong with it goes to `constraints`.
    pub(crate) fn read(given: Option<&str>, constraints: &mut Constraints) -> Wanted {
        if let Some(given) = given {
            let allowed = ["INDEXES", "TOTAL", "NONE"];
            constraints.one_of(given, "returnConsumedCapacity", &allowed);
        }
        match given {
            Some("TOTAL") => Wanted::Total,
            Some("INDEXES") => Wanted::Indexes,
            _ => Wanted::Nothing,
        }
    }

    /// Returns the answer's part for one table.
    pub(crate) fn consumed(self, table: &str, capacity_units: f64) -> Option<ConsumedCapacity> {
        if self == Wanted::Nothing {
            return None;
        }
        let table_name = table.to_owned();
        let table = (self == Wanted::Indexes).then_some(Units { capacity_units });
        Some(ConsumedCapacity { table_name, capacity_units, table })
    }
}

/// Returns the units of one read of so many bytes.
pub(crate) fn of_read(bytes: usize, is_consistent: bool) -> f64 {
    units(bytes, READ_BYTES) * if is_consistent { 1.0 } else { 0.5 }
}

/// Returns the units of one write of so many bytes.
pub(crate) fn of_write(bytes: usize) -> f64 {
    units(bytes, WRITE_BYTES)
}

fn units(bytes: usize, unit: usize) -> f64 {
    let units = bytes.div_ceil(unit).max(1);
    f64::from(u32::try_from(units).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "halves are exact")]
    fn units_are_counted_as_dynamodb_does() {
        assert_eq!(of_read(0, false), 0.5);
        assert_eq!(of_read(4096, true), 1.0);
        assert_eq!(of_read(4097, true), 2.0);
        assert_eq!(of_read(4097, false), 1.0);
        assert_eq!(of_write(1), 1.0);
        assert_eq!(of_write(1025), 2.0);
    }
}
