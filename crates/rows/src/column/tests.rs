//! Values go in and are taken back.

use arrow::array::{Array, AsArray};
use proptest::prelude::*;

use super::*;

fn text() -> Column {
    Column::new(&crate::bench::column("c", ColumnType::Text, false))
}

#[test]
fn what_is_taken_back_leaves_no_bytes_behind() {
    let mut column = text();
    column.append(Found::String("a value longer than a view")).unwrap();
    let before = format!("{column:?}");
    column.append(Found::String("another value longer than a view")).unwrap();
    column.truncate(1);
    assert_eq!(format!("{column:?}"), before);
    column.truncate(5);
    assert_eq!(column.len(), 1);
}

#[test]
fn a_long_value_is_cut_in_messages() {
    let mut column = Column::new(&crate::bench::column("c", ColumnType::Int, false));
    let message = column.append(Found::String(&"é".repeat(100_000))).unwrap_err();
    assert!(message.len() < 200, "{message}");
    assert_eq!(column.len(), 0);
}

proptest! {
    #[test]
    fn texts_of_every_length_survive(values in proptest::collection::vec((proptest::option::of("[a-zé]{0,30}"), any::<bool>()), 0..60)) {
        let mut column = text();
        let mut kept = Vec::new();
        for (value, stays) in &values {
            let length = column.len();
            column.append(value.as_deref().map_or(Found::Null, Found::String)).unwrap();
            if *stays {
                kept.push(value.as_deref());
            } else {
                column.truncate(length);
            }
        }
        let array = column.finish().unwrap();
        prop_assert_eq!(array.as_string_view().iter().collect::<Vec<_>>(), kept);
        prop_assert_eq!(column.finish().unwrap().len(), 0);
    }
}
