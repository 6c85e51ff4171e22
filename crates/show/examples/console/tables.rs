//! The pretended shop's rows: which columns an answer has follows from the words in the SQL.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewArray, Decimal128Array, Int64Array, ListBuilder, StringViewArray,
    StringViewBuilder, TimestampMicrosecondArray,
};
use arrow::record_batch::RecordBatch;

const REGIONS: [(&str, f64); 5] =
    [("FR", 5_200.0), ("DE", 4_100.0), ("ES", 2_600.0), ("IT", 1_900.0), ("UK", 3_300.0)];

const PRODUCTS: [(&str, i64); 8] = [
    ("boots", 1_841),
    ("rain jacket", 1_530),
    ("sneakers", 1_322),
    ("wool socks", 1_204),
    ("backpack", 873),
    ("sandals", 644),
    ("head lamp", 402),
    ("gloves", 212),
];

/// Returns the first name after FROM, and where it stands.
pub(crate) fn named(sql: &str) -> Option<(&str, Range<usize>)> {
    let lower = sql.to_ascii_lowercase();
    let after = lower.find("from ")? + "from ".len();
    let rest = sql.get(after..)?;
    let skipped = rest.len() - rest.trim_start_matches([' ', '"', '\n']).len();
    let start = after + skipped;
    let rest = sql.get(start..)?;
    let end = rest.find(|it: char| !(it.is_alphanumeric() || it == '_')).unwrap_or(rest.len());
    Some((rest.get(..end)?, start..start + end))
}

/// Returns the rows of a pretended table, or nothing when there is no such table.
pub(crate) fn answer(name: &str, sql: &str, now_ms: u64) -> Option<RecordBatch> {
    let now_us = i64::try_from(now_ms).unwrap_or(0) * 1_000;
    Some(match name {
        "sales_by_minute" if !sql.contains("minute\"") && sql.contains("sum(") => {
            batch(vec![("orders", ints([110_400]))])
        }
        "sales_by_minute" => sales(sql, now_us),
        "popular_products" => {
            let wobble = now_us / 1_000_000 % 60;
            let counts = PRODUCTS.iter().map(|(_, count)| count + wobble * count / 900);
            let names = PRODUCTS.iter().map(|(name, _)| *name);
            batch(vec![("product_name", texts(names)), ("quantity", ints(counts))])
        }
        "kpi_sales" => {
            let orders = now_us / 1_000_000 % 10_000_000 * 1_840;
            if sql.contains("\"orders\"") {
                batch(vec![("orders", ints([orders]))])
            } else {
                batch(vec![("revenue", money([i128::from(orders) * 2_317]))])
            }
        }
        "kpi_regions" => batch(vec![
            ("region", texts(REGIONS.iter().map(|(it, _)| *it))),
            ("orders", ints((0..5).map(|it| 1_203_441 - it * 173_112))),
            ("revenue", money((0..5).map(|it| 278_113_120 - it * 40_021_133))),
            ("newest_order", times((0..5).map(|it| now_us - it * 431_000))),
        ]),
        "orders" | "orders_clean" | "products" | "returns" => orders(name, now_us),
        "orders__dead" => dead(sql, now_us),
        "returns__dead" => dead(sql, now_us).slice(0, 0),
        "one" => batch(vec![("one", ints([1]))]),
        _ => return None,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "for show")]
fn sales(sql: &str, now_us: i64) -> RecordBatch {
    let minute_us = 60_000_000;
    let newest = now_us - now_us % minute_us;
    let split = sql.contains("region");
    let mut rows: Vec<(i64, &str, i64)> = Vec::new();
    for back in (0..120).rev() {
        let minute = newest - back * minute_us;
        for (index, (region, usual)) in REGIONS.iter().enumerate() {
            let turn = (minute / minute_us) as f64;
            let wave = (turn / 17.0 + index as f64).sin() * 0.12 + (turn * 7.3).sin() * 0.04;
            let peak = if index == 0 && back < 6 { 1.6 } else { 0.0 };
            let part = if back == 0 { (now_us % minute_us) as f64 / minute_us as f64 } else { 1.0 };
            rows.push((minute, region, (usual * (1.0 + wave + peak) * part) as i64));
        }
    }
    if !split {
        rows = rows.chunks(5).map(|it| (it[0].0, "", it.iter().map(|row| row.2).sum())).collect();
    }
    let mut columns = vec![("minute", times(rows.iter().map(|it| it.0)))];
    if split {
        columns.push(("region", texts(rows.iter().map(|it| it.1))));
    }
    if sql.contains("orders\"") {
        columns.push(("orders", ints(rows.iter().map(|it| it.2 / 23))));
    } else {
        columns.push(("revenue", money(rows.iter().map(|it| i128::from(it.2) * 100 + 37))));
    }
    batch(columns)
}

fn orders(name: &str, now_us: i64) -> RecordBatch {
    let count = if name == "returns" { 0 } else { 200 };
    let at = |index: i64| now_us - index * 540;
    let prices = |index: i64| i128::from(1_999 + index * 37 % 9_000);
    batch(vec![
        ("order_id", texts((0..count).map(|it| format!("o{}", 8_123_441 - it)))),
        ("ts", times((0..count).map(at))),
        ("customer_id", texts((0..count).map(|it| format!("c{}", it * 7_919 % 40_000)))),
        ("region", texts((0..count).map(|it| REGIONS[it as usize % 5].0))),
        ("quantity", ints((0..count).map(|it| it % 4 + 1))),
        ("unit_price", money((0..count).map(prices))),
        ("total", money((0..count).map(|it| prices(it) * i128::from(it % 4 + 1)))),
    ])
}

#[expect(clippy::too_many_lines, reason = "a list, not logic")]
fn dead(sql: &str, now_us: i64) -> RecordBatch {
    if sql.contains("GROUP BY") {
        return batch(vec![
            ("kind", texts(["check", "check", "decode", "check"])),
            (
                "check",
                opt_texts(&[
                    Some("total_is_right"),
                    Some("price_is_positive"),
                    None,
                    Some("total_is_right"),
                ]),
            ),
            ("state", texts(["dead", "dead", "dead", "replayed"])),
            ("count", ints([81_204, 40_602, 13_534, 600])),
            (
                "newest",
                times([
                    now_us - 400_000,
                    now_us - 900_000,
                    now_us - 7_000_000,
                    now_us - 60_000_000,
                ]),
            ),
        ]);
    }
    let good = r#"{"order_id":"o77","ts":"2026-01-05T10:00:10Z","customer_id":"c9","product_id":"p4","region":"fr","quantity":2,"unit_price":19.99,"total":19.99}"#;
    let bad = r#"{"order_id":"o78","ts":"2026-01-05T10:00:11Z","customer_id":"c3","product_id":"p1","region":"de","quantity":1,"unit_price":-5,"total":5}"#;
    let broken = "{\"order_id\":\"o79\",\"ts\":\"yesterday\"";
    let count = 40;
    let mut bytes: Vec<Vec<u8>> = Vec::new();
    let mut kinds = Vec::new();
    let mut checks = Vec::new();
    let mut all = ListBuilder::new(StringViewBuilder::new());
    let mut messages = Vec::new();
    for index in 0..count {
        let (record, kind, names, message): (&[u8], _, &[&str], _) = match index % 5 {
            0 | 1 | 3 => (
                good.as_bytes(),
                "check",
                &["total_is_right"],
                "`total_is_right` is not true: abs(total - unit_price * quantity) < 0.01",
            ),
            2 => (
                bad.as_bytes(),
                "check",
                &["price_is_positive", "total_is_right"],
                "`price_is_positive` is not true: unit_price > 0 AND quantity > 0",
            ),
            _ if index == 9 => (&[0xff, 0xfe, 0x00, 0x41], "decode", &[], "not UTF-8 at byte 0"),
            _ => {
                (broken.as_bytes(), "decode", &[], "not JSON: the object is not closed at byte 36")
            }
        };
        bytes.push(record.to_vec());
        kinds.push(kind);
        checks.push(names.first().copied());
        for name in names {
            all.values().append_value(name);
        }
        all.append(true);
        messages.push(message);
    }
    let times_of = (0..count).map(|it| now_us - it * 1_730_000);
    let table = batch(vec![
        ("bytes", Arc::new(BinaryViewArray::from_iter_values(bytes)) as ArrayRef),
        ("_shard", ints((0..count).map(|it| it % 4))),
        ("_sequence", ints((0..count).map(|it| 3_312_004 - it * 97))),
        ("_arrived", times(times_of)),
        ("kind", texts(kinds.iter().copied())),
        ("check", opt_texts(&checks)),
        ("checks", Arc::new(all.finish())),
        ("message", texts(messages)),
        ("state", texts((0..count).map(|_| "dead"))),
    ]);
    let wanted = ["total_is_right", "price_is_positive", "decode"]
        .iter()
        .find(|it| sql.contains(&format!("'{it}'")));
    match wanted {
        None => table,
        Some(wanted) => {
            let keep: arrow::array::BooleanArray = (0..table.num_rows())
                .map(|it| Some(checks[it].unwrap_or("decode") == *wanted))
                .collect();
            arrow::compute::filter_record_batch(&table, &keep).unwrap_or(table)
        }
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("all columns have one length")
}

fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringViewArray::from_iter_values(values))
}

fn opt_texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<StringViewArray>())
}

fn ints(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn money(values: impl IntoIterator<Item = i128>) -> ArrayRef {
    let values = Decimal128Array::from_iter_values(values).with_precision_and_scale(22, 2);
    Arc::new(values.expect("a valid precision"))
}

fn times(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}
