//! Made-up records.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::*;
use crate::generate::field::{self, FieldOptions};

const SHOP: &str = r#"
order_id    = { counter = "o-" }
ts          = { time = "now", late_by = "30 seconds", late_share = "10 %" }
customer_id = { among = 2000, prefix = "c" }
product_id  = { among = 50, prefix = "p", skew = 1.1 }
region      = { one_of = ["FR", "DE", "UK"], weights = [4, 3, 2] }
quantity    = { integer = [1, 5] }
unit_price  = { decimal = [5, 200], per = "product_id" }
total       = { product = ["quantity", "unit_price"] }
gift        = { chance = "20 %", null = "50 %" }
source      = { constant = "till" }
visit       = { uuid = true }
"#;

fn rows(seed: u64, bad: f64) -> Rows {
    let fields: BTreeMap<String, FieldOptions> = toml::from_str(SHOP).unwrap();
    let surge = [("region".to_owned(), "\"ES\"".to_owned())];
    Rows::new(seed, field::build(&fields).unwrap(), &surge, bad)
}

fn record(rows: &Rows, n: u64, is_surge: bool) -> String {
    let mut out = Vec::new();
    rows.write(n, 1_767_600_000_123, is_surge, &mut out);
    String::from_utf8(out).unwrap()
}

/// A decimal as a whole number of cents.
fn cents(number: &Json) -> i64 {
    let text = number.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
    assert!(part.len() <= 2, "{text}");
    whole.parse::<i64>().unwrap() * 100 + format!("{part:0<2}").parse::<i64>().unwrap()
}

#[test]
fn good_records_are_consistent() {
    let rows = rows(1, 0.0);
    let mut prices: BTreeMap<String, i64> = BTreeMap::new();
    let (mut late, mut nulls) = (0, 0);
    for n in 1..=5_000 {
        let text = record(&rows, n, false);
        let order: Json = serde_json::from_str(&text).unwrap_or_else(|it| panic!("{it}: {text}"));
        assert_eq!(order["order_id"], format!("o-{n}"));
        let quantity = order["quantity"].as_i64().unwrap();
        let price = cents(&order["unit_price"]);
        assert!((1..=5).contains(&quantity) && (500..=20_000).contains(&price), "{text}");
        assert_eq!(cents(&order["total"]), quantity * price, "{text}");
        let product = order["product_id"].as_str().unwrap().to_owned();
        assert_eq!(*prices.entry(product).or_insert(price), price, "one product, one price");
        assert!(["FR", "DE", "UK"].contains(&order["region"].as_str().unwrap()));
        assert_eq!(order["source"], "till");
        let time = order["ts"].as_str().unwrap();
        assert!(
            ("2026-01-05T07:59:30.123Z"..="2026-01-05T08:00:00.123Z").contains(&time),
            "{time}"
        );
        late += usize::from(time != "2026-01-05T08:00:00.123Z");
        nulls += usize::from(order["gift"].is_null());
    }
    assert!(prices.len() > 40, "{}", prices.len());
    assert!((350..650).contains(&late), "{late}");
    assert!((2_200..2_800).contains(&nulls), "{nulls}");
}

#[test]
fn the_same_seed_gives_the_same_records() {
    let (one, same, other) = (rows(7, 0.05), rows(7, 0.05), rows(8, 0.05));
    let mut differ = 0;
    for n in 1..=200 {
        assert_eq!(record(&one, n, false), record(&same, n, false));
        differ += usize::from(record(&one, n, false) != record(&other, n, false));
    }
    assert_eq!(differ, 200);
}

#[test]
fn a_record_looks_the_same_tomorrow() {
    // Ids and prices that change with a new version would break what users built on them.
    expect_test::expect![[r#"{"customer_id":"c1424","gift":false,"order_id":"o-1","product_id":"p28","quantity":1,"region":"UK","source":"till","ts":"2026-01-05T08:00:00.123Z","unit_price":162.76,"visit":"664aa3ba-154f-4da3-9503-93121976391e","total":162.76}"#]].assert_eq(&record(&rows(1, 0.0), 1, false));
}

#[test]
fn a_surge_sets_its_fields() {
    let order: Json = serde_json::from_str(&record(&rows(1, 0.0), 1, true)).unwrap();
    assert_eq!(order["region"], "ES");
}

#[test]
fn bad_records_come_in_all_kinds_and_in_their_share() {
    let rows = rows(1, 0.03);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for n in 1..=20_000 {
        let text = record(&rows, n, false);
        let Ok(order) = serde_json::from_str::<Json>(&text) else {
            *kinds.entry("broken").or_default() += 1;
            continue;
        };
        let kind = if order.get("order_id").is_none() || order.get("ts").is_none() {
            "missing"
        } else if !order["quantity"].is_i64() {
            "wrong type"
        } else if order["unit_price"].as_f64().unwrap() < 0.0 {
            "negative"
        } else if cents(&order["total"])
            != order["quantity"].as_i64().unwrap() * cents(&order["unit_price"])
        {
            "wrong total"
        } else {
            "good"
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let bad: usize =
        kinds.iter().filter(|(kind, _)| **kind != "good").map(|(_, count)| count).sum();
    assert!((500..700).contains(&bad), "{kinds:?}");
    for kind in ["broken", "missing", "wrong type", "negative", "wrong total"] {
        assert!(50 < kinds[kind], "{kinds:?}");
    }
}

#[test]
fn decimals_are_exact() {
    let print = |number: i128, places: u32| {
        let mut out = Vec::new();
        print_decimal(number, places, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(print(5, 2), "0.05");
    assert_eq!(print(-5, 2), "-0.05");
    assert_eq!(print(12_345, 2), "123.45");
    assert_eq!(print(-7, 0), "-7");
    assert_eq!(print(i128::from(i64::MAX), 9), "9223372036.854775807");
}
