//! Keys as bytes: order, neighbours, and every type there and back.

use arrow::array::{Decimal128Array, Int64Array, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, TimeUnit};
use proptest::prelude::*;

use super::*;

fn orders(rows: &[(&str, i64, i64)]) -> RecordBatch {
    let utc = || Some("UTC".into());
    let schema = Schema::new(vec![
        Field::new("customer", DataType::Utf8View, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, utc()), true),
        Field::new("total", DataType::Decimal128(12, 2), true),
        Field::new("id", DataType::Int64, true),
    ]);
    let customers = StringViewArray::from_iter_values(rows.iter().map(|it| it.0));
    let times = rows.iter().map(|it| it.1);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let totals = Decimal128Array::from_iter_values(rows.iter().map(|it| i128::from(it.2)));
    let totals = totals.with_precision_and_scale(12, 2).unwrap();
    let ids = Int64Array::from_iter((0..rows.len()).map(|it| (it % 3 != 0).then_some(it as i64)));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(customers), Arc::new(times), Arc::new(totals), Arc::new(ids)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

#[test]
fn rows_come_back_as_they_were() {
    let rows =
        orders(&[("ann", 5, 1234), ("", -1, -1), ("a much longer name than eight bytes", 0, 0)]);
    let keyed = Keyed::new(rows.schema(), "customer", Some("ts")).unwrap();
    let coded = keyed.code(&rows).unwrap();
    let read = keyed.read((0..coded.rows()).map(|it| coded.row(it))).unwrap();
    assert_eq!(read, rows);
}

#[test]
fn a_key_given_in_words_is_that_of_the_rows() {
    let rows = orders(&[("ann", 1_767_607_210_000_000, 1234)]);
    let keyed = Keyed::new(rows.schema(), "customer", Some("ts")).unwrap();
    let coded = keyed.code(&rows).unwrap();
    assert_eq!(keyed.key_of(Given::Text("ann")).unwrap(), coded.key(0));
    let sort = keyed.sort_of(Given::Text("2026-01-05T10:00:10Z")).unwrap().unwrap();
    assert_eq!(sort, coded.sort(0));
    let by_total = Keyed::new(rows.schema(), "total", None).unwrap();
    assert_eq!(
        by_total.key_of(Given::Text("12.34")).unwrap(),
        by_total.code(&rows).unwrap().key(0)
    );
    assert_eq!(by_total.sort_of(Given::Text("x")), Ok(None));
    let wrong = keyed.sort_of(Given::Text("yesterday")).unwrap_err().to_string();
    assert_eq!(wrong, "`yesterday` is no value of `ts`, which is a timestamp");
    let wrong = Keyed::new(rows.schema(), "custmer", None).unwrap_err().to_string();
    assert_eq!(wrong, "there is no column `custmer`");
}

proptest! {
    #[test]
    fn bytes_compare_as_values_do_and_no_key_begins_with_another(
        one in ".{0,40}", other in ".{0,40}", from in any::<i64>(), to in any::<i64>(),
    ) {
        let rows = orders(&[(&one, from, 0), (&other, to, 0)]);
        let keyed = Keyed::new(rows.schema(), "customer", Some("ts")).unwrap();
        let coded = keyed.code(&rows).unwrap();
        prop_assert_eq!(coded.key(0).cmp(coded.key(1)), one.as_bytes().cmp(other.as_bytes()));
        prop_assert_eq!(coded.sort(0).cmp(coded.sort(1)), from.cmp(&to));
        prop_assert_eq!(coded.key(0).starts_with(coded.key(1)), one == other);
    }
}
