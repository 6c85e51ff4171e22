use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use expect_test::{Expect, expect};

use super::{columns, truth};
use crate::error::SqlError;

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

fn orders() -> SchemaRef {
    schema(&[
        ("order_id", DataType::Utf8View),
        ("ts", timestamp()),
        ("customer_id", DataType::Utf8View),
        ("region", DataType::Utf8View),
        ("quantity", DataType::Int64),
        ("unit_price", DataType::Decimal128(10, 2)),
        ("total", DataType::Decimal128(12, 2)),
        ("is_gift", DataType::Boolean),
    ])
}

fn tables() -> BTreeMap<String, SchemaRef> {
    let sales = schema(&[
        ("minute", timestamp()),
        ("region", DataType::Utf8View),
        ("orders", DataType::Int64),
        ("revenue", DataType::Decimal128(22, 2)),
        ("_final", DataType::Boolean),
    ]);
    BTreeMap::from([("orders".to_owned(), orders()), ("sales_by_minute".to_owned(), sales)])
}

/// Writes each fault as the text it marks, the message, and the help.
fn shown(sql: &str, errors: &[SqlError]) -> String {
    let mut out = String::new();
    for error in errors {
        let place = error.range.clone().and_then(|it| sql.get(it)).unwrap_or("(no place)");
        let help = error.help.clone().map(|it| format!("\n    help: {it}")).unwrap_or_default();
        writeln!(out, "{place}: {}{help}", error.message).unwrap();
    }
    out
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of all expect tests")]
fn check(sql: &str, expected: Expect) {
    let found = match columns(sql, &tables()) {
        Ok(schema) => {
            let columns = schema.fields().iter();
            let columns = columns.map(|it| format!("{}: {}", it.name(), it.data_type()));
            columns.collect::<Vec<_>>().join(", ") + "\n"
        }
        Err(errors) => shown(sql, &errors),
    };
    expected.assert_eq(&found);
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of all expect tests")]
fn check_condition(text: &str, expected: Expect) {
    let found = match truth(text, "orders", &orders()) {
        Ok(()) => "is a condition\n".to_owned(),
        Err(errors) => shown(text, &errors),
    };
    expected.assert_eq(&found);
}

#[test]
fn a_windowed_select_has_its_columns() {
    check(
        "SELECT tumble(ts, '1 minute') AS minute, region, count(*) AS orders, sum(total) AS revenue FROM orders GROUP BY minute, region",
        expect![[r#"
            minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2)
        "#]],
    );
}

#[test]
fn hidden_columns_are_left_out_of_a_star_and_found_by_name() {
    check(
        "SELECT * FROM sales_by_minute",
        expect![[r#"
        minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2)
    "#]],
    );
    check(
        "SELECT s.*, s._final AS done FROM sales_by_minute s",
        expect![[r#"
        minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2), done: Boolean
    "#]],
    );
    check(
        "SELECT *, _final AS done FROM sales_by_minute",
        expect![[r#"
        minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2), done: Boolean
    "#]],
    );
    check(
        "SELECT _final FROM sales_by_minute",
        expect![[r#"
        _final: Boolean
    "#]],
    );
    check(
        "SELECT a.* FROM sales_by_minute a JOIN sales_by_minute b USING (minute) WHERE a._final AND b._final",
        expect![[r#"
            minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2)
        "#]],
    );
    check(
        "SELECT * FROM sales_by_minute WHERE _final",
        expect![[r#"
        minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2)
    "#]],
    );
    check(
        "WITH s AS (SELECT * FROM sales_by_minute) SELECT * FROM s ORDER BY minute",
        expect![[r#"
        minute: Timestamp(µs, "UTC"), region: Utf8View, orders: Int64, revenue: Decimal128(22, 2)
    "#]],
    );
}

#[test]
fn unknown_columns_are_all_named_at_once() {
    check(
        "SELECT regin, quantity * unit_prise AS worth, custmer_id FROM orders WHERE totl > 10",
        expect![[r#"
            regin: column `regin` not found
                help: did you mean `region`?
            unit_prise: column `unit_prise` not found
                help: did you mean `unit_price`?
            custmer_id: column `custmer_id` not found
                help: did you mean `customer_id`?
            totl: column `totl` not found
                help: did you mean `total`?
        "#]],
    );
    check(
        "SELECT o.regin AS r FROM orders o",
        expect![[r#"
        o.regin: column `o.regin` not found
            help: did you mean `region`?
    "#]],
    );
    check(
        "SELECT something_else FROM orders",
        expect![[r#"
        something_else: column `something_else` not found
            help: columns are `order_id`, `ts`, `customer_id`, `region`, `quantity`, `unit_price`, `total`, `is_gift`
    "#]],
    );
}

#[test]
fn unknown_tables_and_functions_are_named() {
    check(
        "SELECT order_id FROM ordrs",
        expect![[r#"
        ordrs: table `ordrs` not found
            help: did you mean `orders`?
    "#]],
    );
    check(
        "SELECT a.order_id FROM nothing_like_it a JOIN sales_by_minut b ON true",
        expect![[r#"
        nothing_like_it: table `nothing_like_it` not found
            help: tables are `orders`, `sales_by_minute`
        sales_by_minut: table `sales_by_minut` not found
            help: did you mean `sales_by_minute`?
    "#]],
    );
    check(
        "SELECT uper(region) AS r, frobnicate(total) AS f FROM orders",
        expect![[r#"
            uper(region): function `uper` not found
                help: did you mean `upper`?
            frobnicate(total): function `frobnicate` not found
        "#]],
    );
}

#[test]
fn types_that_do_not_fit_have_a_place() {
    check(
        "SELECT ts + region AS x FROM orders",
        expect![[r#"
        ts + region: `+` does not take timestamp and text
            help: convert one side, for example `CAST(… AS timestamp)`
    "#]],
    );
    check(
        "SELECT order_id FROM orders WHERE is_gift > 3 AND quantity + ts = 1",
        expect![[r#"
        is_gift > 3: `>` does not take bool and int
            help: convert one side, for example `CAST(… AS bool)`
        quantity + ts: `+` does not take int and timestamp
            help: convert one side, for example `CAST(… AS int)`
    "#]],
    );
    check(
        "SELECT order_id FROM orders WHERE quantity",
        expect![[r#"
            quantity: a condition is true or false; this is int
                help: compare it with something, for example `quantity > 0`
        "#]],
    );
    check(
        "SELECT sum(region) AS s FROM orders",
        expect![[r#"
            region: `sum` does not take text
                help: convert the argument with CAST, or use another function
        "#]],
    );
    check(
        "SELECT upper(region, 2) AS s, abs(ts) AS b FROM orders",
        expect![[r#"
            upper(region, 2): `upper` does not take text, int
                help: it takes 1
            ts: `abs` does not take timestamp
                help: convert the argument with CAST, or use another function
        "#]],
    );
    check(
        "SELECT date_trunc(quantity, ts) AS s FROM orders",
        expect![[r#"
            quantity: `date_trunc` does not take int, timestamp
                help: convert the argument with CAST, or use another function
        "#]],
    );
    check(
        "SELECT NOT region AS s, -ts AS m FROM orders",
        expect![[r#"
            region: `NOT` does not take text
                help: convert the argument with CAST, or use another function
        "#]],
    );
}

#[test]
fn groups_and_names_are_checked() {
    check(
        "SELECT region, customer_id, count(*) AS n FROM orders GROUP BY region",
        expect![[r#"
        customer_id: column `customer_id` is neither in GROUP BY nor in an aggregate
            help: add `customer_id` to GROUP BY, or take one value of it, for example `max(customer_id)`
    "#]],
    );
    check(
        "SELECT region, count(*), sum(total * 2) FROM orders GROUP BY region",
        expect![[r#"
            count(*): this column has no name
                help: give it one with AS: `count(*) AS name`
            sum(total * 2): this column has no name
                help: give it one with AS: `sum(total * 2) AS name`
        "#]],
    );
    check(
        "SELECT region, upper(region) AS region FROM orders",
        expect![[r#"
            region: two columns are named `region`
                help: give one of them another name with AS
        "#]],
    );
    check(
        "SELECT * FROM orders a JOIN orders b ON a.order_id = b.order_id",
        expect![[r#"
            *: two columns are named `customer_id`
                help: name the columns instead of `*`, and give one another name with AS
        "#]],
    );
    check(
        "SELECT order_id FROM orders a JOIN orders b ON a.order_id = b.order_id",
        expect![[r#"
        order_id: column `order_id` is in more than one table
            help: write its table before it: `table.order_id`
    "#]],
    );
    check(
        "SELECT sum(count(*)) AS s FROM orders",
        expect![[r#"
            count(*): aggregate function calls cannot be nested
                help: make the inner one in a subquery or a table of its own
        "#]],
    );
}

#[test]
fn windows_are_checked() {
    check(
        "SELECT tumble(ts, '1 month') AS m FROM orders",
        expect![[r#"
            '1 month': months and years have no fixed length; use days, or `date_trunc('month', ts)` instead
        "#]],
    );
    check(
        "SELECT tumble(ts, '1 minut') AS m, tumble(region, '1 minute') AS n FROM orders",
        expect![[r#"
            '1 minut': `1 minut` is not the size of a window; write a number and a unit, for example `'1 minute'`
        "#]],
    );
    check(
        "SELECT tumble(ts, region) AS m FROM orders",
        expect![[r#"
            region: the size of a window must be a constant; write it as `tumble(ts, '1 minute')`
        "#]],
    );
    check(
        "SELECT tumble(ts) AS m FROM orders",
        expect![[r#"
            tumble(ts): `tumble` has too few or too many arguments; write it as `tumble(ts, '1 minute')`
        "#]],
    );
    check(
        "SELECT tumble(ts, INTERVAL '1 month') AS m FROM orders",
        expect![[r#"
            '1 month': months and years have no fixed length; use days, or `date_trunc('month', ts)` instead
        "#]],
    );
}

#[test]
fn what_is_not_sql_has_a_place() {
    check(
        "SELECT region FRM orders",
        expect![[r#"
        orders: expected end of statement, found `orders`
    "#]],
    );
    check(
        "SELECT region,, total FROM orders",
        expect![[r#"
        ,: expected an expression, found `,`
    "#]],
    );
    check(
        "SELECT region FROM orders WHERE",
        expect![[r#"
        (no place): the SQL ends where an expression is expected
    "#]],
    );
    check(
        "SELECT 'open FROM orders",
        expect![[r#"
        ': this is not SQL: unterminated string literal
    "#]],
    );
    check(
        "",
        expect![[r#"
        (no place): there is no SQL in this text
    "#]],
    );
    check(
        "SELECT 1 AS one; SELECT 2 AS two",
        expect![[r#"
        (no place): this is 2 statements; ask one at a time
    "#]],
    );
    check(
        "DROP TABLE orders",
        expect![[r#"
        DROP: a table is made by one SELECT
            help: begin with SELECT or WITH
    "#]],
    );
    check(
        "INSERT INTO orders SELECT * FROM orders",
        expect![[r#"
        INSERT: a table is made by one SELECT
            help: begin with SELECT or WITH
    "#]],
    );
}

#[test]
fn places_are_right_behind_other_scripts_and_lines() {
    check(
        "SELECT 'größe 🎉' AS x,\n\tregin\nFROM orders",
        expect![[r#"
        regin: column `regin` not found
            help: did you mean `region`?
    "#]],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases reads best whole")]
fn conditions_are_true_or_false() {
    check_condition(
        "unit_price > 0 AND quantity > 0",
        expect![[r#"
        is a condition
    "#]],
    );
    check_condition(
        "abs(total - unit_price * quantity) < 0.01",
        expect![[r#"
        is a condition
    "#]],
    );
    check_condition(
        "quantity",
        expect![[r#"
        quantity: a condition is true or false; this is int
            help: compare it with something, for example `quantity > 0`
    "#]],
    );
    check_condition(
        "quantty > 0 AND regin = 'x'",
        expect![[r#"
        quantty: column `quantty` not found
            help: did you mean `quantity`?
        regin: column `regin` not found
            help: did you mean `region`?
    "#]],
    );
    check_condition(
        "sum(quantity) > 0",
        expect![[r#"
        sum(quantity) > 0: a condition looks at one row; aggregates need many
            help: make a table that counts or sums, and check that
    "#]],
    );
    check_condition(
        "region IN (SELECT region FROM orders)",
        expect![[r#"
        region IN (SELECT region FROM orders): a condition looks at one row; it asks no other table
            help: make a table that joins both, and check that
    "#]],
    );
    check_condition(
        "quantity > 0) OR (1 = 1",
        expect![[r#"
        ): expected end of expression, found `)`
    "#]],
    );
    check_condition(
        "quantity > 0 AS ok",
        expect![[r#"
        (no place): a condition has no name of its own
            help: leave `AS ok` out
    "#]],
    );
    check_condition(
        "region + 1 > 2",
        expect![[r#"
            region + 1: `+` does not take text and int
                help: convert one side, for example `CAST(… AS text)`
        "#]],
    );
    check_condition(
        "",
        expect![[r#"
        (no place): the SQL ends where an expression is expected
    "#]],
    );
    check_condition(
        "orders.quantity > 0",
        expect![[r#"
        is a condition
    "#]],
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in "[a-z0-9 (),.*'\"+=<>;\n-]{0,60}") {
        let sql = format!("SELECT {text} FROM orders");
        if let Err(errors) = columns(&sql, &tables()) {
            for error in errors {
                let range = error.range.unwrap_or(0..0);
                proptest::prop_assert!(range.end <= sql.len());
            }
        }
        if let Err(errors) = truth(&text, "orders", &orders()) {
            proptest::prop_assert!(!errors.is_empty());
        }
    }
}
