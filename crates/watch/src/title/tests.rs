//! Titles that people can read.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringViewArray,
    TimestampMicrosecondArray,
};
use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn batch() -> RecordBatch {
    let decimal = |units, scale| {
        Arc::new(Decimal128Array::from(vec![units]).with_data_type(DataType::Decimal128(38, scale)))
    };
    let moment = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
    RecordBatch::try_from_iter::<_, &str>(vec![
        ("text", Arc::new(StringViewArray::from(vec!["a\"b\nc"])) as ArrayRef),
        ("nothing", Arc::new(StringViewArray::from(vec![None::<&str>]))),
        ("count", Arc::new(Int64Array::from(vec![1_234_567]))),
        ("ratio", Arc::new(Float64Array::from(vec![100.0 / 3.0]))),
        ("whole", Arc::new(Float64Array::from(vec![12.0]))),
        ("tiny", Arc::new(Float64Array::from(vec![0.000_123_456]))),
        ("huge", Arc::new(Float64Array::from(vec![1.5e300]))),
        ("money", decimal(12_050, 2)),
        ("average", decimal(33_333_333, 6)),
        ("moment", Arc::new(moment)),
        ("flag", Arc::new(BooleanArray::from(vec![true]))),
        ("_hidden", Arc::new(Int64Array::from(vec![1]))),
    ])
    .unwrap()
}

#[test]
fn values_read_well() {
    let batch = batch();
    let names = batch.schema();
    let template: Vec<_> =
        names.fields().iter().map(|it| format!("{0}={{{0}}}", it.name())).collect();
    let title = Title::new(&template.join("; "));
    expect![[r#"text=a"b c; nothing=none; count=1234567; ratio=33.33; whole=12; tiny=0.000123; huge=1.5e300; money=120.50; average=33.33; moment=1970-01-01T00:00:00Z; flag=true; _hidden=1"#]].assert_eq(&title.fill(&batch, 0));
}

#[test]
fn braces_stand_around_columns() {
    let batch = batch();
    let filled = |template: &str| Title::new(template).fill(&batch, 0);
    assert_eq!(filled("}{ count }{flag}!"), "}1234567true!");
    assert_eq!(filled(""), "");
    assert_eq!(filled("open {count"), "open {count");
    assert_eq!(filled("{gone}"), "none");
}

#[test]
fn a_long_title_is_cut() {
    let batch = batch();
    let title = Title::new(&"é{count}".repeat(500));
    assert_eq!(title.fill(&batch, 0).chars().count(), TITLE_CHARS_MAX);
}

proptest! {
    #[test]
    fn any_template_is_a_title(template in "[{}a-z \\PC]{0,30}") {
        Title::new(&template).fill(&batch(), 0);
    }

    #[test]
    fn a_shortened_number_is_near_the_exact_one(value in -1e18_f64..1e18) {
        let near: f64 = shorten(&value.to_string()).parse().unwrap();
        prop_assert!((near - value).abs() <= 0.005_f64.max(value.abs() / 200.0));
    }
}
