use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use base::Epoch;
use rows::sink::Replace;

use super::{HotRows, SMALL_ROWS};

fn rows(from: i64, to: i64) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("text", DataType::Utf8View, false),
    ]);
    let texts = (from..to).map(|it| format!("a text that is long enough not to be inlined {it}"));
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(Int64Array::from_iter_values(from..to)),
            Arc::new(StringViewArray::from_iter_values(texts)),
        ],
    )
    .unwrap()
}

fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    batches
        .iter()
        .flat_map(|it| it.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect()
}

#[test]
fn a_thousand_small_ticks_are_a_few_batches_in_order() {
    let mut hot = HotRows::default();
    for it in 0..1_000 {
        hot.push(Epoch(1), rows(it * 3, it * 3 + 3));
    }
    let all = hot.rows();
    assert!(all.len() < 20, "{} batches", all.len());
    assert!(all.iter().all(|it| it.num_rows() <= SMALL_ROWS));
    assert_eq!(numbers(&all), (0..3_000).collect::<Vec<_>>());
    let bytes: usize = all.iter().map(RecordBatch::get_array_memory_size).sum();
    assert_eq!(hot.bytes(), bytes);
}

#[test]
fn epochs_stay_apart() {
    let mut hot = HotRows::default();
    hot.push(Epoch(1), rows(0, 2));
    hot.push(Epoch(2), rows(2, 3));
    assert_eq!(numbers(&hot.change(Epoch(1)).unwrap().rows), [0, 1]);
    assert_eq!(numbers(&hot.change(Epoch(2)).unwrap().rows), [2]);
    assert!(hot.change(Epoch(3)).is_none());
    hot.stored(Epoch(1));
    assert_eq!(numbers(&hot.rows()), [2]);
    hot.stored(Epoch(2));
    assert_eq!((hot.rows().len(), hot.bytes()), (0, 0));
}

#[test]
fn a_replaced_table_is_shown_whole_until_it_is_stored() {
    let mut hot = HotRows::default();
    hot.push(Epoch(1), rows(0, 2));
    hot.replace(Epoch(1), vec![rows(10, 12)]);
    hot.push(Epoch(1), rows(12, 13));
    hot.push(Epoch(2), rows(13, 14));
    assert_eq!(numbers(&hot.rows()), [10, 11, 12, 13]);
    let change = hot.change(Epoch(1)).unwrap();
    assert_eq!((numbers(&change.rows), change.replace), (vec![10, 11, 12], Replace::All));
    hot.stored(Epoch(1));
    assert_eq!(numbers(&hot.rows()), [13]);
    assert_eq!(hot.change(Epoch(2)).unwrap().replace, Replace::Nothing);
}
