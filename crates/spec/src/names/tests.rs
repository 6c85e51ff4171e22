//! Which names are refused.

use crate::names::{check, is_reserved};

#[test]
fn words_of_sql_are_refused_and_common_nouns_are_not() {
    for word in ["order", "group", "select", "user", "join", "limit", "union", "lateral"] {
        assert!(is_reserved(word), "{word}");
    }
    let nouns = [
        "orders",
        "events",
        "status",
        "date",
        "time",
        "views",
        "sessions",
        "day",
        "hour",
        "minute",
        "region",
        "format",
        "settings",
        "name",
        "value",
        "count",
        "data",
        "location",
        "clicks",
        "message",
        "metrics",
        "transactions",
        "year",
        "host",
        "log",
        "level",
        "type",
        "role",
    ];
    for word in nouns {
        assert!(!is_reserved(word), "{word}");
        assert!(check(word).is_ok(), "{word}");
    }
}

#[test]
fn a_better_name_is_proposed() {
    let help = |text: &str| check(text).expect_err("it is no name").1;
    assert!(help("SalesByMinute").contains("write `sales_by_minute`"), "{}", help("SalesByMinute"));
    assert!(help("sales-now").contains("write `sales_now`"));
    assert!(help("_orders").contains("write `orders`"));
    assert!(!help("…").contains("write"));
}

#[test]
fn any_text_becomes_a_name_that_may_be_given() {
    for (text, name) in [
        ("2010-summary", "summary"),
        ("ai4i2020", "ai4i2020"),
        ("OrderLines", "order_lines"),
        ("some orders (new)", "some_orders_new"),
        ("order", "order_1"),
        ("2024", "found"),
        ("übung", "bung"),
        ("a__dead", "a_dead"),
    ] {
        assert_eq!(crate::name_like(text), name);
        assert!(check(name).is_ok(), "{name}");
    }
}
