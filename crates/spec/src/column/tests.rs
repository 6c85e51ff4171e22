//! Tests of `column`: what is said of columns is kept, and what is wrong is told where it stands.

use expect_test::expect;

use crate::column::Described;
use crate::load::tests::{check_all, load};

fn told(described: &[Described]) -> Vec<String> {
    described.iter().map(|it| format!("{}: {}", it.column, it.description)).collect()
}

#[test]
fn columns_of_streams_lookups_and_tables_are_described() {
    let toml = r#"
[stream.orders.columns]
id    = { type = "text not null", description = "the number on the paper" }
total = { description = "what was paid", type = "decimal(12,2)" }
note  = "text"
[lookup.shops]
from = "shops.csv"
key  = "shop"
columns.shop = { type = "text" }
columns.city = { description = "where it is" }
"#;
    let sql = "/*\ncolumns.total = \"of all orders\"\n*/\nSELECT sum(total) AS total FROM orders\n";
    let files = [("a.toml", toml), ("totals.sql", sql), ("shops.csv", "shop,city\n7,Lyon\n")];
    let project = load(&files, None).unwrap_or_else(|it| panic!("{it}"));
    let orders = &project.streams["orders"];
    let columns: Vec<String> = orders
        .columns
        .iter()
        .map(|it| format!("{} {} {}", it.name, it.kind, it.not_null))
        .collect();
    assert_eq!(columns, ["id text true", "total decimal(12,2) false", "note text false"]);
    let words = ["id: the number on the paper", "total: what was paid"];
    assert_eq!(told(&orders.descriptions), words);
    let shops = &project.lookups["shops"];
    let typed: Vec<&str> = shops.columns.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(typed, ["shop"], "the type of the other is found from its values");
    assert_eq!(told(&shops.descriptions), ["city: where it is"]);
    assert_eq!(told(&project.tables["totals"].descriptions), ["total: of all orders"]);
}

#[test]
fn what_is_wrong_with_a_column_is_told_where_it_stands() {
    let toml = r#"
[stream.a.columns]
x = { description = "what it is" }
y = "int"
[stream.b.columns]
x = { type = "txt", description = "what it is" }
y = { type = "text", unit = "kg" }
z = { type = "text", description = 5 }
[table.t]
sql = "SELECT y FROM a"
columns.y = { description = "what it is" }
[lookup.l]
from = "l.csv"
key = "id"
columns.nme = { description = "what it is" }
"#;
    check_all(
        &[("a.toml", toml), ("l.csv", "id,name\n")],
        &expect![[r#"
            a.toml:3:1: `x` has no `type`; write `x = { type = "text", description = ".." }`
            a.toml:6:14: `txt` is not a type; did you mean `text`?
            a.toml:7:22: unknown key `unit`; the keys here are `type` and `description`
            a.toml:8:36: `description` must be a string, not the integer `5`
            a.toml:11:13: `y` must be a string, not a table
            a.toml:15:9: `l.csv` has no column `nme`; did you mean `name`?
        "#]],
    );
}
