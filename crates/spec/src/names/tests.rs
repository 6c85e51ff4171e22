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
