use proptest::prelude::*;

use super::*;

fn read(json: &str) -> Result<AttributeValue, String> {
    let mut value: AttributeValue =
        serde_json::from_str(json).map_err(|error| error.to_string())?;
    value.check()?;
    Ok(value)
}

fn refused(json: &str, why: &str) {
    let found = read(json).unwrap_err();
    assert!(found.starts_with(why), "{json}: {found}");
}

#[test]
fn values_are_read_from_json() {
    let map = read(r#"{"M": {"a": {"L": [{"N": "1.50"}, {"BOOL": true}, {"NULL": true}]}}}"#);
    let AttributeValue::M(map) = map.unwrap() else { panic!("a map") };
    let list = vec![
        AttributeValue::N("1.5".to_owned()),
        AttributeValue::Bool(true),
        AttributeValue::Null(true),
    ];
    assert_eq!(map["a"], AttributeValue::L(list));
    assert_eq!(read(r#"{"B": "AAE="}"#), Ok(AttributeValue::B(Binary(vec![0, 1]))));
    assert_eq!(read(r#"{"S": null, "N": "7", "X": {}}"#), Ok(AttributeValue::N("7".to_owned())));
    let set = AttributeValue::Ns(vec!["1".to_owned(), "2".to_owned()]);
    assert_eq!(read(r#"{"NS": ["1.0", "2"]}"#), Ok(set));
}

#[test]
fn what_dynamodb_refuses_in_a_value_is_refused() {
    refused("{}", NO_TYPE);
    refused(r#"{"S": null}"#, NO_TYPE);
    refused(r#"{"S": "a", "N": "1"}"#, MANY_TYPES);
    refused(r#"{"N": "x"}"#, "The parameter cannot be converted to a numeric value: x");
    refused(r#"{"N": 5}"#, "invalid type: integer `5`");
    refused(r#"{"B": "?"}"#, "a binary value is not base64");
    refused(r#"{"NS": ["1", "1.0"]}"#, "Input collection contains duplicates");
    let invalid = "One or more parameter values were invalid: ";
    refused(r#"{"SS": []}"#, &format!("{invalid}An string set  may not be empty"));
    refused(r#"{"SS": ["a", "a"]}"#, &format!("{invalid}Input collection contains duplicates."));
    refused(r#"{"NULL": false}"#, &format!("{invalid}Null attribute value types"));
    let nested =
        |depth: usize| format!("{}{{\"S\":\"\"}}{}", "{\"L\":[".repeat(depth), "]}".repeat(depth));
    assert!(read(&nested(32)).is_ok());
    refused(&nested(33), "Nesting Levels have exceeded supported limits");
    refused(&nested(5_000), "recursion limit exceeded");
}

#[test]
fn what_no_number_of_dynamodb_can_hold_is_text() {
    let of = |text: &str| AttributeValue::from(Value::Number(text.to_owned()));
    assert_eq!(of("20.50"), AttributeValue::N("20.5".to_owned()));
    assert_eq!(of("NaN"), AttributeValue::S("NaN".to_owned()));
    assert_eq!(of("1e300"), AttributeValue::S("1e300".to_owned()));
}

#[test]
fn sizes_are_counted_as_dynamodb_does() {
    let bytes = |json: &str| read(json).unwrap().bytes();
    assert_eq!(bytes(r#"{"S": "añ"}"#), 3);
    assert_eq!(bytes(r#"{"N": "123"}"#), 3);
    assert_eq!(bytes(r#"{"B": "AAE="}"#), 2);
    assert_eq!(bytes(r#"{"BOOL": false}"#), 1);
    assert_eq!(bytes(r#"{"L": [{"S": "ab"}]}"#), 6);
    assert_eq!(bytes(r#"{"M": {"a": {"S": "ab"}}}"#), 7);
}

fn value() -> impl Strategy<Value = AttributeValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..5).prop_map(Binary);
    let leaf = prop_oneof![
        any::<String>().prop_map(AttributeValue::S),
        any::<i64>().prop_map(|it| AttributeValue::N(it.to_string())),
        bytes().prop_map(AttributeValue::B),
        any::<bool>().prop_map(AttributeValue::Bool),
        Just(AttributeValue::Null(true)),
        prop::collection::vec(any::<String>(), 1..4).prop_map(AttributeValue::Ss),
        prop::collection::vec(bytes(), 1..4).prop_map(AttributeValue::Bs),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
            prop::collection::btree_map(any::<String>(), inner, 0..3).prop_map(AttributeValue::M),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_written_as_they_are_read(value in value()) {
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(&serde_json::from_str::<AttributeValue>(&json).unwrap(), &value);
        let mut cbor = Vec::new();
        ciborium::into_writer(&value, &mut cbor).unwrap();
        let read: AttributeValue = ciborium::from_reader(cbor.as_slice()).unwrap();
        prop_assert_eq!(read, value);
    }
}
