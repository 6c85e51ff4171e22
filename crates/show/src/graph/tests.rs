use super::*;
use crate::facts::{Alert, Chart, Dashboard, Door, Reject, Stream, Table};

fn facts() -> Facts {
    let door = Door { kind: "http".to_owned(), records: 7, per_second: 0.5 };
    let reject = Reject { kind: "check".to_owned(), check: None, count: 3 };
    let names = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<String>>();
    let chart = |from: &str| Chart { from: from.to_owned(), ..Chart::default() };
    Facts {
        streams: vec![Stream {
            name: "orders".to_owned(),
            doors: vec![door],
            rejects: vec![reject],
            ..Stream::default()
        }],
        tables: vec![
            Table { name: "clean".to_owned(), reads: names(&["orders"]), ..Table::default() },
            Table { name: "sums".to_owned(), reads: names(&["clean", "gone"]), ..Table::default() },
        ],
        alerts: vec![Alert {
            name: "spike".to_owned(),
            reads: names(&["sums"]),
            ..Alert::default()
        }],
        dashboards: vec![Dashboard {
            name: "sales".to_owned(),
            title: "Sales".to_owned(),
            charts: vec![chart("sums"), chart("sums"), chart("orders__dead")],
        }],
        edges: vec![Edge {
            from: "orders".to_owned(),
            to: "clean".to_owned(),
            rows: 5,
            lag_ms: 12,
            ..Edge::default()
        }],
        ..Facts::default()
    }
}

#[test]
fn every_read_is_one_edge_and_unknown_ends_are_left_out() {
    let graph = of(&facts());
    let edges: Vec<String> =
        graph.edges.iter().map(|it| format!("{} {} {}", it.from, it.to, it.rows)).collect();
    let expected = [
        "door:orders:http orders 7",
        "orders orders__dead 3",
        "clean sums 0",
        "orders clean 5",
        "orders__dead sales 0",
        "sums sales 0",
        "sums spike 0",
    ];
    assert_eq!(edges, expected);
}

#[test]
fn ids_are_unique_even_when_names_are_not() {
    let mut facts = facts();
    facts.dashboards[0].name = "clean".to_owned();
    let graph = of(&facts);
    let mut ids: Vec<&str> = graph.nodes.iter().map(|it| it.id.as_str()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn a_stream_without_rejects_has_no_dead_letters_in_the_graph() {
    let mut facts = facts();
    facts.streams[0].rejects.clear();
    assert!(of(&facts).nodes.iter().all(|it| it.kind != NodeKind::Dead));
}
