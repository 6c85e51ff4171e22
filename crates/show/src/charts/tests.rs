use expect_test::{Expect, expect};

use super::*;
use crate::facts::{Stream, Table};

fn facts() -> Facts {
    let columns = |list: &[(&str, &str)]| {
        let column = |(name, kind): &(&str, &str)| Column {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            nullable: true,
        };
        list.iter().map(column).collect::<Vec<Column>>()
    };
    let sales = columns(&[("minute", "timestamp"), ("region", "text"), ("revenue", "float")]);
    let orders = columns(&[("id", "text"), ("ts", "timestamp"), ("_arrived", "timestamp")]);
    Facts {
        tables: vec![
            Table { name: "sales".to_owned(), columns: sales, ..Table::default() },
            Table {
                name: "best".to_owned(),
                columns: columns(&[("name", "text")]),
                ..Table::default()
            },
        ],
        streams: vec![Stream {
            name: "orders".to_owned(),
            columns: orders,
            time: Some("ts".to_owned()),
            ..Stream::default()
        }],
        ..Facts::default()
    }
}

fn chart(kind: ChartKind, from: &str, x: &str, y: &[&str]) -> Chart {
    Chart {
        kind,
        from: from.to_owned(),
        x: (!x.is_empty()).then(|| x.to_owned()),
        y: y.iter().map(|it| (*it).to_owned()).collect(),
        ..Chart::default()
    }
}

fn check(chart: &Chart, expected: &Expect) {
    expected.assert_eq(&question(chart, &facts()));
}

#[test]
fn a_line_sums_what_shares_a_point() {
    let line = chart(ChartKind::Line, "sales", "minute", &["revenue"]);
    let by_region =
        Chart { by: Some("region".to_owned()), last_ms: Some(7_200_000), ..line.clone() };
    check(
        &line,
        &expect![[
            r#"SELECT "minute", sum("revenue") AS "revenue" FROM "sales" GROUP BY 1 ORDER BY 1"#
        ]],
    );
    check(
        &by_region,
        &expect![[
            r#"SELECT "minute", "region", sum("revenue") AS "revenue" FROM "sales" WHERE "minute" >= now() - INTERVAL '7200000 milliseconds' GROUP BY 1, 2 ORDER BY 1"#
        ]],
    );
}

#[test]
fn an_aggregate_is_asked_as_it_is_written() {
    let line = chart(ChartKind::Area, "sales", "minute", &["avg(revenue)", "revenue"]);
    check(
        &line,
        &expect![[
            r#"SELECT "minute", avg(revenue) AS "avg(revenue)", sum("revenue") AS "revenue" FROM "sales" GROUP BY 1 ORDER BY 1"#
        ]],
    );
}

#[test]
fn a_number_is_the_sum_over_its_window() {
    let number = chart(ChartKind::Number, "sales", "", &["revenue"]);
    check(&number, &expect![[r#"SELECT sum("revenue") AS "revenue" FROM "sales""#]]);
    let lately = Chart { last_ms: Some(1_000), ..number };
    check(
        &lately,
        &expect![[
            r#"SELECT sum("revenue") AS "revenue" FROM "sales" WHERE "minute" >= now() - INTERVAL '1000 milliseconds'"#
        ]],
    );
}

#[test]
fn bars_are_the_largest_unless_they_stand_along_time() {
    let bars = chart(ChartKind::Bar, "best", "name", &["quantity"]);
    check(
        &bars,
        &expect![[
            r#"SELECT "name", sum("quantity") AS "quantity" FROM "best" GROUP BY 1 ORDER BY 2 DESC LIMIT 12"#
        ]],
    );
    let parts = Chart {
        by: Some("region".to_owned()),
        limit: Some(3),
        last_ms: Some(5),
        ..chart(ChartKind::Bar, "sales", "region", &["revenue"])
    };
    check(
        &parts,
        &expect![[
            r#"SELECT "region", "region", sum("revenue") AS "revenue" FROM "sales" WHERE "minute" >= now() - INTERVAL '5 milliseconds' AND "region" IN (SELECT "region" FROM "sales" WHERE "minute" >= now() - INTERVAL '5 milliseconds' GROUP BY 1 ORDER BY sum("revenue") DESC LIMIT 3) GROUP BY 1, 2 ORDER BY 1"#
        ]],
    );
    let along = chart(ChartKind::Bar, "sales", "minute", &["revenue"]);
    check(
        &along,
        &expect![[
            r#"SELECT "minute", sum("revenue") AS "revenue" FROM "sales" GROUP BY 1 ORDER BY 1"#
        ]],
    );
}

#[test]
fn a_table_shows_the_newest_rows() {
    check(
        &chart(ChartKind::Table, "orders", "", &[]),
        &expect![[r#"SELECT * FROM "orders" ORDER BY "ts" DESC LIMIT 20"#]],
    );
    check(
        &chart(ChartKind::Table, "best", "", &["name"]),
        &expect![[r#"SELECT "name" FROM "best" LIMIT 20"#]],
    );
}

#[test]
fn a_name_cannot_leave_its_quotes() {
    let line = chart(ChartKind::Table, "a\"; DROP TABLE x; --", "", &[]);
    check(&line, &expect![[r#"SELECT * FROM "a""; DROP TABLE x; --" LIMIT 20"#]]);
}
