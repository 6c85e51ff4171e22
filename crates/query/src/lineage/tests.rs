//! Tests of `lineage`: each column with what its values are computed from.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::*;

fn tables() -> BTreeMap<String, SchemaRef> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let table = |columns: &[(&str, DataType)]| {
        let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let orders = table(&[
        ("id", DataType::Utf8View),
        ("ts", time),
        ("product", DataType::Utf8View),
        ("price", DataType::Int64),
        ("quantity", DataType::Int64),
    ]);
    let products = table(&[("product", DataType::Utf8View), ("category", DataType::Utf8View)]);
    BTreeMap::from([("orders".to_owned(), orders), ("products".to_owned(), products)])
}

/// `column: table.column …` for each column.
fn told(sql: &str) -> Vec<String> {
    let of_one = |(name, from): (String, Vec<Origin>)| {
        let from: Vec<_> = from.iter().map(|(table, column)| format!("{table}.{column}")).collect();
        format!("{name}: {}", from.join(" "))
    };
    of(sql, &tables()).into_iter().map(of_one).collect()
}

#[test]
fn columns_are_followed_to_where_they_come_from() {
    assert_eq!(
        told("SELECT id, price * quantity AS total, upper(product) AS p, 1 AS one FROM orders"),
        ["id: orders.id", "total: orders.price orders.quantity", "p: orders.product", "one: "]
    );
    assert_eq!(
        told(
            "SELECT tumble(o.ts, '1 minute') AS minute, p.category, count(*) AS n, sum(o.price) AS s \
             FROM orders o LEFT JOIN products p ON p.product = o.product GROUP BY minute, p.category"
        ),
        ["minute: orders.ts", "category: products.category", "n: ", "s: orders.price"]
    );
    assert_eq!(
        told("SELECT product FROM orders UNION ALL SELECT category FROM products"),
        ["product: orders.product products.category"]
    );
    assert_eq!(
        told(
            "WITH a AS (SELECT id, sum(price) AS s FROM orders GROUP BY id) \
             SELECT id, rank() OVER (ORDER BY s) AS place, s - (SELECT max(quantity) FROM orders) AS d FROM a"
        ),
        ["id: orders.id", "place: orders.price", "d: orders.price orders.quantity"]
    );
    assert_eq!(told("SELECT DISTINCT product AS p FROM orders"), ["p: orders.product"]);
    assert_eq!(
        told("SELECT id FROM orders WHERE product IN (SELECT product FROM products)"),
        ["id: orders.id"]
    );
}

#[test]
fn of_a_faulty_select_nothing_is_told() {
    assert!(told("SELECT nothing FROM orders").is_empty());
    assert!(told("SELEKT").is_empty());
}
