use serde_json::json;

use super::*;
use crate::dynamo::expression;
use crate::dynamo::placeholders::Placeholders;

fn attributes(json: serde_json::Value) -> Attributes {
    serde_json::from_value(json).unwrap()
}

fn item() -> Attributes {
    attributes(json!({
        "city": { "S": "Paris" },
        "amount": { "N": "20.5" },
        "paid": { "BOOL": true },
        "photo": { "B": "AAEC" },
        "tags": { "SS": ["a", "b"] },
        "parts": { "L": [{ "M": { "sku": { "S": "p1" }, "n": { "N": "2" } } }, { "S": "x" }] },
        "more": { "M": { "name": { "S": "Ada" }, "nil": { "NULL": true } } },
    }))
}

fn values() -> Attributes {
    attributes(json!({
        ":paris": { "S": "Paris" }, ":p": { "S": "Pa" }, ":ari": { "S": "ari" }, ":a": { "S": "a" },
        ":x": { "S": "x" }, ":n": { "N": "20.50" }, ":two": { "N": "2" }, ":thirty": { "N": "30" },
        ":b": { "B": "AQ==" }, ":b0": { "B": "AAE=" }, ":true": { "BOOL": true },
        ":set": { "SS": ["b", "a"] }, ":S": { "S": "S" }, ":M": { "S": "M" }, ":Q": { "S": "Q" },
    }))
}

fn test(text: &str) -> Result<Test, String> {
    let names = [("#name", "name"), ("#more", "more")];
    let names = names.map(|(key, name)| (key.to_owned(), name.to_owned()));
    let mut placeholders = Placeholders::new(Some(names.into()), Some(values())).unwrap();
    let condition = expression::condition(text).map_err(|error| error.to_string())?;
    check(&condition, &mut placeholders)
}

#[test]
fn conditions_hold_as_dynamodb_has_it() {
    for (text, holds) in [
        ("city = :paris", true),
        ("city <> :paris", false),
        ("amount = :n", true),
        ("amount < :thirty AND amount >= :two", true),
        ("amount < :paris", false),
        ("amount <> :paris", true),
        ("nothing = :paris", false),
        ("nothing <> :paris", true),
        ("nothing < :paris", false),
        ("NOT nothing < :paris", true),
        ("city BETWEEN :p AND :x", true),
        ("amount BETWEEN :two AND :n", true),
        ("city IN (:x, :paris)", true),
        ("city IN (:x, :n)", false),
        ("begins_with(city, :p)", true),
        ("begins_with(photo, :b0)", true),
        ("begins_with(amount, :p)", false),
        ("contains(city, :ari)", true),
        ("contains(photo, :b)", true),
        ("contains(tags, :a)", true),
        ("contains(tags, :ari)", false),
        ("contains(parts, :x)", true),
        ("tags = :set", true),
        ("paid = :true", true),
        ("attribute_exists(parts[0].sku)", true),
        ("attribute_exists(parts[2])", false),
        ("attribute_not_exists(#more.nothing)", true),
        ("attribute_exists(#more.nil)", true),
        ("attribute_type(city, :S)", true),
        ("attribute_type(#more, :M)", true),
        ("attribute_type(nothing, :S)", false),
        ("size(parts) = :two", true),
        ("size(tags) = :two AND size(#more) = :two", true),
        ("size(city) > :two", true),
        ("size(amount) > :two", false),
        ("#more.#name > :a OR city = :x", false),
        ("parts[0].n = :two", true),
        ("(city = :x OR paid = :true) AND NOT amount = :two", true),
    ] {
        assert_eq!(test(text).unwrap().holds(&item()), holds, "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn what_dynamodb_refuses_is_refused_in_its_words() {
    let operand = |function: &str, found: &str| {
        format!(
            "Incorrect operand type for operator or function; operator or function: {function}, \
             operand type: {found}"
        )
    };
    let misused = |name: &str| {
        format!(
            "The function is not allowed to be used this way in an expression; function: {name}"
        )
    };
    for (text, refused) in [
        ("nope(city)", "Invalid function name; function: nope".to_owned()),
        ("size(city)", misused("size")),
        ("contains(city, :a) = :true", misused("contains")),
        ("size(contains(city, :a)) = :n", misused("contains")),
        ("status = :a", "Attribute name is a reserved keyword; reserved keyword: status".into()),
        ("city.Name = :a", "Attribute name is a reserved keyword; reserved keyword: Name".into()),
        (
            "#nope = :a",
            "An expression attribute name used in the document path is not defined; \
             attribute name: #nope"
                .into(),
        ),
        (
            "city = :nope",
            "An expression attribute value used in expression is not defined; \
             attribute value: :nope"
                .into(),
        ),
        (
            "contains(city)",
            "Incorrect number of operands for operator or function; operator or function: \
             contains, number of operands: 1"
                .into(),
        ),
        (
            "attribute_exists(:a)",
            "Operator or function requires a document path; operator or function: attribute_exists"
                .into(),
        ),
        (
            "city = city",
            "The first operand must be distinct from the remaining operands for this operator or \
             function; operator: =, first operand: [city]"
                .into(),
        ),
        (
            "city BETWEEN :thirty AND :two",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower \
             bound; lower bound operand: AttributeValue: {N:30}, upper bound operand: \
             AttributeValue: {N:2}"
                .into(),
        ),
        (
            "city BETWEEN :a AND :two",
            "The BETWEEN operator requires same data type for lower and upper bounds; lower bound \
             operand: AttributeValue: {S:a}, upper bound operand: AttributeValue: {N:2}"
                .into(),
        ),
        (
            "attribute_type(city, :Q)",
            "Invalid attribute type name found; type: Q, valid types: \
             {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
                .into(),
        ),
        ("attribute_type(city, :n)", operand("attribute_type", "N")),
        ("begins_with(city, :n)", operand("begins_with", "N")),
        ("city < :true", operand("<", "BOOL")),
        ("size(:n) = :n", operand("size", "N")),
    ] {
        assert_eq!(test(text).unwrap_err(), refused, "{text}");
    }
}

#[test]
fn names_and_values_are_checked_and_used() {
    let names = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect())
    };
    let refused = |names, values| Placeholders::new(names, values).unwrap_err();
    assert_eq!(refused(names(&[]), None), "ExpressionAttributeNames must not be empty");
    assert_eq!(
        refused(names(&[("n", "a")]), None),
        "ExpressionAttributeNames contains invalid key: Syntax error; key: \"n\""
    );
    let values = attributes(json!({ ":v": { "N": "x" } }));
    assert_eq!(
        refused(None, Some(values)),
        "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a \
         numeric value: x for key :v"
    );
    let placeholders = Placeholders::new(names(&[("#a", "a"), ("#b", "b")]), None).unwrap();
    assert_eq!(
        placeholders.all_used().unwrap_err(),
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b}"
    );
}
