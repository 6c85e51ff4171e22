//! What SELECTs read, and where they are wrong.

use expect_test::{Expect, expect};

use crate::sql::{SqlText, parse_condition, parse_select};

fn check(sql: &str, expected: &Expect) {
    let text = match parse_select(&SqlText::outside("x.sql", sql)) {
        Ok(reads) => {
            let reads = reads.iter().map(|it| {
                let (line, column) = it.spot.line_and_column();
                format!("{line}:{column} {} `{}`", it.name, sql.get(it.spot.range.clone()).unwrap())
            });
            reads.collect::<Vec<_>>().join("\n")
        }
        Err(faults) => faults.to_string(),
    };
    expected.assert_eq(&text);
}

#[test]
fn reads_are_tables_of_from_but_not_names_of_with() {
    check("SELECT 1", &expect![[r#""#]]);
    check(
        "SELECT * FROM Orders o, \"Mixed\" AS m JOIN public.p ON p.id = o.id, system.flows",
        &expect![[r#"
            1:15 orders `Orders`
            1:25 Mixed `"Mixed"`
            1:43 p `public.p`
            1:68 system.flows `system.flows`"#]],
    );
    check(
        "WITH a AS (SELECT * FROM x), b AS (SELECT * FROM a)\nSELECT * FROM a JOIN b ON true WHERE id IN (SELECT id FROM y)",
        &expect![[r#"
            1:26 x `x`
            2:60 y `y`"#]],
    );
    check(
        "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders",
        &expect!["1:31 orders `orders`"],
    );
    check(
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
        &expect![[r#""#]],
    );
    check("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) AS t, a", &expect!["1:60 a `a`"]);
    check(
        "SELECT (SELECT max(v) FROM v WHERE EXISTS (SELECT 1 FROM w)) FROM generate_series(1, 3), unnest([1]) UNION SELECT 1 FROM u",
        &expect![[r#"
            1:28 v `v`
            1:58 w `w`
            1:122 u `u`"#]],
    );
}

#[test]
fn faults_in_sql_are_placed() {
    check(
        "",
        &expect![[r#"
        x.sql:1:1: there is no SELECT; write one `SELECT … FROM …`
    "#]],
    );
    check(
        "-- nothing",
        &expect![[r#"
        x.sql:1:1: there is no SELECT; write one `SELECT … FROM …`
    "#]],
    );
    check(
        "SELEC a FROM b",
        &expect![[r#"
        x.sql:1:1: `SELEC` does not begin a SELECT; what a table or an alert holds is one `SELECT …` or `WITH … SELECT …`
    "#]],
    );
    check(
        "INSERT INTO a VALUES (1)",
        &expect![[r#"
        x.sql:1:1: `INSERT` does not begin a SELECT; what a table or an alert holds is one `SELECT …` or `WITH … SELECT …`
    "#]],
    );
    check(
        "SELECT a,\nFROM b WHERE",
        &expect![[r#"
        x.sql:2:13: the SQL ends where an expression should follow
    "#]],
    );
    check(
        "SELECT é, a FROM b WHERE x = 'open",
        &expect![[r#"
        x.sql:1:30: unterminated string literal
    "#]],
    );
    check(
        "SELECT (a FROM b",
        &expect![[r#"
        x.sql:1:11: expected `)`, found `FROM`
    "#]],
    );
    check(
        "SELECT a FROM b GROUP a",
        &expect![[r#"
        x.sql:1:17: `GROUP` was not expected here; a comma or a keyword may be missing
    "#]],
    );
    check(
        "SELECT a FROM b; SELECT c FROM d",
        &expect![[r#"
        x.sql:1:18: a second statement; one SELECT each; put the other in its own file
    "#]],
    );
    check(
        "SELECT a FROM b c d",
        &expect![[r#"
        x.sql:1:19: `d` was not expected here; a comma or a keyword may be missing
    "#]],
    );
    check("SELECT a FROM b;;", &expect!["1:15 b `b`"]);
}

#[test]
fn a_select_only_reads_tables_that_can_be_named() {
    check(
        "SELECT a INTO c FROM b",
        &expect![[r#"
        x.sql:1:15: a SELECT cannot write; leave INTO out: the rows are the table's own
    "#]],
    );
    check(
        "SELECT * FROM other.b, x.y.z",
        &expect![[r#"
        x.sql:1:15: there is no schema in `other.b`; write `b` alone; only `system` is a schema
        x.sql:1:24: there is no schema in `x.y.z`; write `z` alone; only `system` is a schema
    "#]],
    );
    check(
        "SELECT CAST(a AS) FROM b",
        &expect![[r#"
        x.sql:1:17: expected a data type name, found `)`
    "#]],
    );
    check(
        "SELECT * FROM b ORDER BY",
        &expect![[r#"
        x.sql:1:25: the SQL ends where an expression should follow
    "#]],
    );
    check(
        "WITH x AS (DELETE FROM b RETURNING *) SELECT * FROM x",
        &expect![[r#"
        x.sql:1:1: a SELECT cannot write; only SELECT may stand here
    "#]],
    );
}

#[test]
fn a_condition_is_one_expression() {
    let check = |sql: &str, expected: &Expect| {
        let parsed = parse_condition(&SqlText::outside("x.sql", sql));
        let text = match parsed {
            Ok(reads) => format!("{} reads", reads.len()),
            Err(fault) => fault.to_string(),
        };
        expected.assert_eq(&text);
    };
    check("a > 0 AND b IS NOT NULL", &expect!["0 reads"]);
    check("a IN (SELECT a FROM b)", &expect!["1 reads"]);
    check(
        "",
        &expect![
            "x.sql:1:1: there is no condition; write an expression that is true or false: `price > 0`"
        ],
    );
    check("a >", &expect!["x.sql:1:4: the SQL ends where an expression should follow"]);
    check(
        "a > 0, b > 0",
        &expect![
            "x.sql:1:6: `,` was not expected here; a condition is one expression; join several by AND"
        ],
    );
    check("a = 'x", &expect!["x.sql:1:5: unterminated string literal"]);
}

#[test]
fn deep_sql_is_refused_not_run_into_the_stack() {
    let nested = format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000));
    check(
        &nested,
        &expect![[r#"
            x.sql:1:108: this is nested too deeply; give the inner parts names with `WITH`, or make tables of them
        "#]],
    );
    let long = format!("SELECT 1{}", " + 1".repeat(100_000));
    check(
        &long,
        &expect![[r#"
        x.sql:1:1: this is longer than 10000 words; split it into several tables, or put the long list into a lookup
    "#]],
    );
    // As long as it may be: a tree of this depth is built, walked and dropped.
    let chain = format!("SELECT 1{}", " + 1".repeat(4_990));
    check(&chain, &expect![[r#""#]]);
    let unions = format!("SELECT 1{}", " UNION SELECT 1".repeat(3_300));
    check(&unions, &expect![[r#""#]]);
    let nots = format!("SELECT {} 1", "NOT ".repeat(9_000));
    check(
        &nots,
        &expect![[r#"
        x.sql:1:208: `NOT` was not expected here; a comma or a keyword may be missing
    "#]],
    );
    let minus = format!("SELECT {} 1", "- ".repeat(9_000));
    check(
        &minus,
        &expect![[r#"
        x.sql:1:1: this is nested too deeply; give the inner parts names with `WITH`, or make tables of them
    "#]],
    );
    let joins = format!("SELECT 1 FROM {}a{}", "(".repeat(200), ")".repeat(200));
    check(
        &joins,
        &expect![[r#"
            x.sql:1:115: this is nested too deeply; give the inner parts names with `WITH`, or make tables of them
        "#]],
    );
    let cases = format!("SELECT {}1{}", "CASE WHEN ".repeat(500), " THEN 1 END".repeat(500));
    check(
        &cases,
        &expect![[r#"
        x.sql:1:18: `CASE` was not expected here; a comma or a keyword may be missing
    "#]],
    );
    let casts = format!("SELECT 1{}", "::int".repeat(4_900));
    check(&casts, &expect![[r#""#]]);
    let arrays = format!("SELECT {}1{}", "[".repeat(4_900), "]".repeat(4_900));
    check(
        &arrays,
        &expect![[r#"
            x.sql:1:108: this is nested too deeply; give the inner parts names with `WITH`, or make tables of them
        "#]],
    );
    let types = format!("SELECT CAST(1 AS {}INT{})", "ARRAY<".repeat(3_000), ">".repeat(3_000));
    check(
        &types,
        &expect![[r#"
        x.sql:1:623: this is nested too deeply; give the inner parts names with `WITH`, or make tables of them
    "#]],
    );
}

#[test]
fn bytes_of_lines_and_columns() {
    let sql = SqlText::outside("x.sql", "ab\nçd\n");
    assert_eq!(sql.byte_at(1, 1), 0);
    assert_eq!(sql.byte_at(2, 2), 5);
    assert_eq!(sql.byte_at(2, 99), 7);
    assert_eq!(sql.byte_at(99, 1), 7);
}
