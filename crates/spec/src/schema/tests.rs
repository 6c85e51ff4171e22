//! The schema knows every key that the reader knows.

use serde_json::Value;

use crate::json_schema;
use crate::load::tests::{SHOP, load};

/// Returns the schema behind references.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.trim_start_matches('#');
            resolve(root, root.pointer(pointer).expect("a reference leads somewhere"))
        }
        None => schema,
    }
}

fn properties<'a>(root: &'a Value, schema: &'a Value) -> &'a serde_json::Map<String, Value> {
    let schema = resolve(root, schema);
    schema["properties"].as_object().unwrap_or_else(|| panic!("{schema:#} has no properties"))
}

/// Returns the keys that the reader names when it meets one it does not know.
fn known_to_the_reader(toml: &str) -> Vec<String> {
    let faults = load(&[("a.toml", toml)], None).expect_err("`zzzzzzzz` is unknown");
    let help = faults.iter().find(|it| it.message() == "unknown key `zzzzzzzz`");
    let help = help.and_then(|it| it.help()).unwrap_or_else(|| panic!("{faults}"));
    let mut keys: Vec<String> = help.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn every_key_is_in_the_schema_with_a_description() {
    let schema = json_schema();
    let sections = properties(&schema, &schema);
    let names: Vec<&str> = sections.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["alert", "bucket", "dashboard", "lookup", "notify", "project", "stream", "table", "test"]
    );
    for (section, of) in sections {
        let (toml, of) = if section == "project" {
            ("[project]\nzzzzzzzz = 1\n".to_owned(), &of["anyOf"][0])
        } else {
            (format!("[{section}.a]\nzzzzzzzz = 1\n"), &of["additionalProperties"])
        };
        let of = properties(&schema, of);
        let mut keys: Vec<String> = of.keys().cloned().collect();
        keys.sort();
        // What else a bucket may say is known to its door.
        if section != "bucket" {
            assert_eq!(keys, known_to_the_reader(&toml), "{section}");
        }
        for (key, setting) in of {
            assert!(setting["description"].is_string(), "{section}.{key} has no description");
        }
    }
    let dashboard = properties(&schema, &sections["dashboard"]["additionalProperties"]);
    let chart = properties(&schema, &dashboard["chart"]["items"]);
    let mut keys: Vec<String> = chart.keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, known_to_the_reader("[[dashboard.a.chart]]\nzzzzzzzz = 1\n"));
}

/// Returns the choice of `anyOf` that is for values like this one.
fn choice<'a>(root: &'a Value, schema: &'a Value, value: &toml::Value) -> Option<&'a Value> {
    let schema = resolve(root, schema);
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return choices.iter().find_map(|it| choice(root, it, value));
    }
    if schema.get("oneOf").or_else(|| schema.get("enum")).is_some() {
        return value.is_str().then_some(schema);
    }
    let wanted = schema.get("type").and_then(Value::as_str);
    let fits = matches!(
        (wanted, value),
        (Some("object"), toml::Value::Table(_))
            | (Some("array"), toml::Value::Array(_))
            | (Some("string"), toml::Value::String(_))
    );
    fits.then_some(schema)
}

/// Checks that every key of a value is known to the schema.
fn walk(root: &Value, schema: &Value, value: &toml::Value, way: &str) {
    let schema = resolve(root, schema);
    if schema.get("anyOf").is_some() {
        let fit = choice(root, schema, value).unwrap_or_else(|| panic!("{way}: nothing fits"));
        return walk(root, fit, value, way);
    }
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let way = format!("{way}.{key}");
                let named = schema.get("properties").and_then(|it| it.get(key));
                let of = named.or_else(|| schema.get("additionalProperties"));
                let of = of.filter(|it| it.is_object());
                walk(root, of.unwrap_or_else(|| panic!("{way} is not known")), value, &way);
            }
        }
        toml::Value::Array(array) => {
            array.iter().for_each(|it| walk(root, &schema["items"], it, way));
        }
        _ => {}
    }
}

#[test]
fn the_shop_fits_the_schema() {
    let schema = json_schema();
    for (path, text) in SHOP.iter().filter(|(path, _)| path.ends_with(".toml")) {
        let value: toml::Value = toml::from_str(text).expect("it is TOML");
        walk(&schema, &schema, &value, path);
    }
}
