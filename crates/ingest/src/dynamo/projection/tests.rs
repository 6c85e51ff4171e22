use serde_json::{Value as Json, json};

use super::*;

fn answered(text: &str) -> Result<Json, String> {
    let names = [("#n", "name"), ("#d", "dotted.name")];
    let names = names.map(|(key, name)| (key.to_owned(), name.to_owned()));
    let mut placeholders = Placeholders::new(Some(names.into()), None).unwrap();
    let projection = Projection::read(text, &mut placeholders)?;
    let item = json!({
        "id": { "S": "1" },
        "name": { "M": { "given": { "S": "Ada" }, "sur": { "S": "L" } } },
        "dotted.name": { "N": "7" },
        "parts": { "L": [
            { "M": { "sku": { "S": "p1" }, "n": { "N": "1" } } },
            { "M": { "sku": { "S": "p2" }, "n": { "N": "2" } } },
            { "S": "third" },
        ] },
    });
    let item: Attributes = serde_json::from_value(item).unwrap();
    Ok(serde_json::to_value(projection.of(item)).unwrap())
}

#[test]
fn only_what_the_paths_lead_to_is_answered() {
    for (text, found) in [
        ("id, nothing", json!({ "id": { "S": "1" } })),
        ("#d", json!({ "dotted.name": { "N": "7" } })),
        ("#n.given", json!({ "name": { "M": { "given": { "S": "Ada" } } } })),
        ("#n.given, #n.nothing", json!({ "name": { "M": { "given": { "S": "Ada" } } } })),
        ("#n.nothing, id[0]", json!({})),
        (
            "parts[2], parts[0].sku",
            json!({
                "parts": { "L": [{ "M": { "sku": { "S": "p1" } } }, { "S": "third" }] }
            }),
        ),
        (
            "parts[1].n, parts[1].sku",
            json!({
                "parts": { "L": [{ "M": { "sku": { "S": "p2" }, "n": { "N": "2" } } }] }
            }),
        ),
        ("parts[9]", json!({})),
    ] {
        assert_eq!(answered(text).unwrap(), found, "{text}");
    }
}

#[test]
fn paths_that_meet_are_refused() {
    let refused = |how: &str, one: &str, two: &str| {
        format!(
            "Invalid ProjectionExpression: Two document paths {how} with each other; must remove \
             or rewrite one of these paths; path one: {one}, path two: {two}"
        )
    };
    let found = |text: &str| answered(text).unwrap_err();
    assert_eq!(found("id, id"), refused("overlap", "[id]", "[id]"));
    assert_eq!(
        found("parts[0].n, parts[0]"),
        refused("overlap", "[parts, [0], n]", "[parts, [0]]")
    );
    assert_eq!(found("parts[0], parts.a"), refused("conflict", "[parts, [0]]", "[parts, a]"));
    assert_eq!(
        found("id, name"),
        "Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: name"
    );
    let twice = Projection::of_names(vec!["a".to_owned(), "b".to_owned(), "a".to_owned()]);
    assert_eq!(
        twice.unwrap_err(),
        "One or more parameter values were invalid: Duplicate value in attribute name: a"
    );
}
