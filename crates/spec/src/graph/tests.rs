//! Orders, flows and edges.

use std::fmt::Write as _;

use expect_test::expect;

use crate::load::tests::{SHOP, load};

#[test]
fn the_map_of_the_shop() {
    let project = load(SHOP, None).unwrap_or_else(|it| panic!("{it}"));
    let graph = project.graph();
    let mut text = String::new();
    for node in &graph.nodes {
        writeln!(text, "{:?} {}", node.kind, node.name).expect("it is memory");
    }
    for edge in &graph.edges {
        writeln!(text, "{} -> {}", edge.from, edge.to).expect("it is memory");
    }
    for flow in &graph.flows {
        writeln!(text, "{flow:?}").expect("it is memory");
    }
    expect![[r#"
        Stream orders
        Lookup products
        Table orders_clean
        Table sales_by_minute
        Table sales_against_usual
        Alert sales_spike
        Dashboard sales
        orders -> orders_clean
        orders_clean -> sales_by_minute
        products -> orders_clean
        sales_against_usual -> sales_spike
        sales_by_minute -> sales
        sales_by_minute -> sales_against_usual
        Flow { name: `orders`, streams: [`orders`], tables: [`orders_clean`, `sales_by_minute`, `sales_against_usual`], alerts: [`sales_spike`] }
    "#]].assert_eq(&text);
}

#[test]
fn flows_are_tied_by_from_but_not_by_lookups() {
    let files = [
        (
            "a.toml",
            "stream.s.columns.x = 'text'\nstream.r.columns.x = 'text'\nstream.q.columns.x = 'text'\n\
                    lookup.l = { from = 'l.csv', key = 'x' }\nalert.two = { sql = 'SELECT 1 FROM a, d' }\n",
        ),
        ("l.csv", "x\n"),
        ("a.sql", "SELECT * FROM s JOIN l ON true"),
        ("b.sql", "SELECT * FROM r JOIN l ON true"),
        ("c.sql", "SELECT * FROM b, a"),
        ("d.sql", "SELECT * FROM q__dead"),
        ("e.sql", "SELECT * FROM l, system.flows"),
    ];
    let project = load(&files, None).unwrap_or_else(|it| panic!("{it}"));
    let mut text = String::new();
    for flow in project.graph().flows {
        writeln!(text, "{}: {:?} {:?} {:?}", flow.name, flow.streams, flow.tables, flow.alerts)
            .expect("it is memory");
    }
    expect![[r#"
        e: [] [`e`] []
        q: [`q`] [`d`] [`two`]
        r: [`r`, `s`] [`a`, `b`, `c`] [`two`]
    "#]]
    .assert_eq(&text);
}
