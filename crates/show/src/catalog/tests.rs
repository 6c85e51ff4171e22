//! Tests of the catalogue: who looks for something finds it, and other programs are told right.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::search::search;
use super::*;

fn column(name: &str, kind: &str, from: &[(&str, &str)]) -> EntryColumn {
    let column = Column { name: name.to_owned(), kind: kind.to_owned(), nullable: true };
    let origin = |(table, column): &(&str, &str)| Origin {
        table: (*table).to_owned(),
        column: (*column).to_owned(),
    };
    EntryColumn { column, description: None, from: from.iter().map(origin).collect() }
}

fn shop() -> Catalog {
    let brief = |kind, name: &str, description: &str| Brief {
        kind,
        name: name.to_owned(),
        description: Some(description.to_owned()).filter(|it| !it.is_empty()),
        ..Brief::default()
    };
    let of = |brief| Entry { brief, ..Entry::default() };
    let entries = vec![
        Entry {
            columns: vec![
                column("order_id", "text", &[]),
                EntryColumn {
                    description: Some("Of one piece, with taxes".to_owned()),
                    ..column("unitPrice", "decimal(10,2)", &[])
                },
            ],
            location: Some("file:///data/lake/orders".to_owned()),
            ..of(Brief {
                owner: Some("Zoé Müller".to_owned()),
                layer: Some("raw".to_owned()),
                rows: 7,
                ..brief(EntryKind::Stream, "orders", "What customers buy, as it comes in.")
            })
        },
        Entry {
            columns: vec![
                column("minute", "timestamp", &[("orders", "ts")]),
                column("revenue", "decimal(22,2)", &[("orders", "unitPrice")]),
                column("orders", "int", &[]),
            ],
            reads: vec!["orders".to_owned()],
            sql: "SELECT 1".to_owned(),
            location: Some("file:///data/lake/sales_by_minute".to_owned()),
            read_by: vec![Reader { kind: EntryKind::Dashboard, name: "sales".to_owned() }],
            ..of(Brief {
                tags: vec!["finance".to_owned(), "kpi".to_owned()],
                layer: Some("reporting".to_owned()),
                ..brief(EntryKind::Table, "sales_by_minute", "Turnover per minute and region")
            })
        },
        Entry {
            reads: vec!["sales_by_minute".to_owned()],
            ..of(brief(EntryKind::Dashboard, "sales", "Sales now"))
        },
        of(brief(EntryKind::Lookup, "products", "Names and categories")),
    ];
    Catalog { project: "shop".to_owned(), entries }
}

fn found(words: &str) -> String {
    let line = |it: &search::Hit| format!("{} [{}]\n", it.brief.name, it.found_in.join("; "));
    search(&shop(), words).iter().map(line).collect()
}

fn check(words: &str, expected: &Expect) {
    expected.assert_eq(&found(words));
}

#[test]
fn people_find_what_they_mean() {
    check(
        "sale",
        &expect![[r#"
            sales [name; description; reads: sales_by_minute]
            sales_by_minute [name; read by: sales]
        "#]],
    );
    // All words, wherever they are; beginnings, plurals and capitals make no difference.
    check(
        "Turnover REGIONS",
        &expect![[r#"
            sales_by_minute [description]
        "#]],
    );
    check(
        "price",
        &expect![[r#"
            orders [columns: unitPrice]
        "#]],
    );
    check(
        "zoe muller",
        &expect![[r#"
            orders [owner]
        "#]],
    );
    check(
        "kpi",
        &expect![[r#"
            sales_by_minute [tags: kpi]
        "#]],
    );
    check(
        "category",
        &expect![[r#"
            products [description]
        "#]],
    );
    // What is said about a column finds its table, and tells the column once.
    check(
        "tax price piece",
        &expect![[r#"
            orders [columns: unitPrice]
        "#]],
    );
    check("sales weather", &expect![""]);
    assert_eq!(search(&shop(), "").len(), 4, "without words everything is listed");
}

#[test]
fn an_entry_and_what_is_found_are_told_in_one_piece() {
    let orders = shop().entries.remove(0);
    let told = serde_json::to_value(&orders).unwrap();
    for (name, value) in [("name", "orders"), ("kind", "stream"), ("layer", "raw")] {
        assert_eq!(told[name], value, "{told}");
    }
    assert_eq!((&told["rows"], &told["brief"]), (&Value::from(7), &Value::Null));
    assert_eq!(serde_json::from_value::<Entry>(told).unwrap(), orders);
    let hit = search(&shop(), "zoe").remove(0);
    let told = serde_json::to_value(&hit).unwrap();
    assert_eq!((&told["name"], &told["found_in"][0]), (&Value::from("orders"), &"owner".into()));
    assert_eq!(serde_json::from_value::<search::Hit>(told).unwrap(), hit);
    let older = serde_json::json!({"kind": "table", "name": "a"});
    assert_eq!(serde_json::from_value::<Entry>(older).unwrap().brief.name, "a");
}

#[test]
fn a_misspelt_word_finds_what_is_one_letter_off() {
    for word in ["revenu", "revenues", "revenuee", "rvenue", "reevnue", "REVENUE"] {
        assert!(found(word).starts_with("sales_by_minute"), "{word}: {}", found(word));
    }
    assert_eq!(found("avenue"), "");
    assert_eq!(found("kpx"), "", "short words are what they are");
}

#[test]
fn lineage_goes_down_to_columns() {
    let events = export::open_lineage(&shop(), 1_767_607_200_000);
    let job = events.iter().find(|it| it["job"]["name"] == "sales_by_minute").unwrap();
    assert_eq!(job["eventTime"], "2026-01-05T10:00:00Z");
    assert_eq!(job["inputs"], serde_json::json!([{"namespace": "shop", "name": "orders"}]));
    let lineage = &job["outputs"][0]["facets"]["columnLineage"]["fields"];
    assert_eq!(
        lineage["revenue"]["inputFields"],
        serde_json::json!([{"namespace": "shop", "name": "orders", "field": "unitPrice"}])
    );
    assert_eq!(lineage["orders"], Value::Null, "a count is made of no column");
    let orders = events.iter().find(|it| it["dataset"]["name"] == "orders").unwrap();
    let fields = &orders["dataset"]["facets"]["schema"]["fields"];
    assert_eq!(fields[0], serde_json::json!({"name": "order_id", "type": "text"}));
    assert_eq!(fields[1]["description"], "Of one piece, with taxes");
    // A dataset for each that has rows, a job for each table.
    assert_eq!(events.len(), 4);
    for facet in ["schema", "documentation", "columnLineage"] {
        let facet = &job["outputs"][0]["facets"][facet];
        assert!(facet["_schemaURL"].as_str().unwrap().starts_with("https://openlineage.io/"));
    }
}

#[test]
fn tables_are_listed_as_glue_lists_them() {
    let listed = export::glue(&shop());
    let tables = listed["TableList"].as_array().unwrap();
    let names: Vec<&str> = tables.iter().map(|it| it["Name"].as_str().unwrap()).collect();
    assert_eq!(names, ["orders", "sales_by_minute"], "what lies somewhere");
    let price = &tables[0]["StorageDescriptor"]["Columns"][1];
    let expected = serde_json::json!({
        "Name": "unitprice", "Type": "decimal(10,2)", "Comment": "Of one piece, with taxes",
    });
    assert_eq!(*price, expected);
    let columns = &tables[1]["StorageDescriptor"]["Columns"];
    assert_eq!(columns[0], serde_json::json!({"Name": "minute", "Type": "timestamp"}));
    assert_eq!(columns[2]["Type"], "bigint");
    assert_eq!(tables[1]["DatabaseName"], "shop");
}

#[test]
fn a_long_comment_is_cut_where_a_letter_ends() {
    let mut shop = shop();
    shop.entries[0].columns[0].description = Some("é".repeat(200));
    let listed = export::glue(&shop);
    let comment = &listed["TableList"][0]["StorageDescriptor"]["Columns"][0]["Comment"];
    assert_eq!(comment.as_str().unwrap(), "é".repeat(127));
}
