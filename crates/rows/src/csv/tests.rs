//! CSV that other programs read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, ListArray, StringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use expect_test::expect;

use super::*;

#[test]
fn quotes_stand_where_they_are_needed() {
    let texts = vec![Some("plain"), Some("a,b"), Some("say \"x\"\r\n"), Some(""), Some(" "), None];
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        None,
        None,
        None,
        None,
        None,
    ]);
    let floats = vec![1.5, f64::NAN, 0.0, -0.0, 1e300, 2.0];
    let batch = RecordBatch::try_from_iter::<_, &str>(vec![
        ("view", Arc::new(StringViewArray::from(texts.clone())) as ArrayRef),
        ("a \"name\"", Arc::new(StringArray::from(texts))),
        ("float", Arc::new(Float64Array::from(floats))),
        ("list", Arc::new(list)),
    ])
    .unwrap();
    let mut out = String::new();
    write_header(batch.schema_ref(), &mut out);
    write_rows(&batch, &mut out);
    expect![[r#"
        view,"a ""name""",float,list
        plain,plain,1.5,"[1,2]"
        "a,b","a,b",,
        "say ""x""<CR>
        ","say ""x""<CR>
        ",0.0,
        "","",-0.0,
        " "," ",1e+300,
        ,,2.0,
    "#]]
    .assert_eq(&out.replace('\r', "<CR>"));
}
