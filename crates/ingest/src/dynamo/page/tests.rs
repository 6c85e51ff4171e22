use std::ops::Bound;

use proptest::prelude::*;

use super::*;
use crate::dynamo::tests::memory::{Memory, item, number, table, text};
use crate::items::{AttributeKind, Value};

fn memory(sorts: &[i64], bytes: usize) -> Memory {
    let mut table = table("orders", "customer", Some(("at", AttributeKind::Number)));
    table.rows = (sorts.iter().enumerate())
        .map(|(index, at)| {
            let about = Value::Text("x".repeat(bytes));
            let (id, at) = (number(index), number(at));
            item([("customer", text("ada")), ("at", at), ("id", id), ("about", about)])
        })
        .collect();
    // Another key's items are nobody's business.
    table.rows.push(item([("customer", text("bob")), ("at", number(1)), ("id", number(-1))]));
    Memory { tables: vec![table], ..Memory::default() }
}

/// Reads all pages as a client does; returns the ids in order, and the keys between the pages.
async fn read_all(
    memory: &Memory,
    limit: usize,
    descending: bool,
) -> (Vec<String>, Vec<Attributes>) {
    let table = &memory.tables[0].about;
    let (mut ids, mut keys) = (Vec::new(), Vec::new());
    let mut ask = Ask {
        table: "orders".to_owned(),
        key: text("ada"),
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        begins_with: None,
        descending,
        limit: 0,
        after: None,
    };
    loop {
        let page = read(memory, table, ask.clone(), limit).await.unwrap();
        assert!(page.items.len() <= limit);
        assert_eq!(page.bytes, page.items.iter().map(bytes_of).sum::<usize>());
        for item in &page.items {
            let AttributeValue::N(id) = &item["id"] else { panic!("{item:?}") };
            ids.push(id.clone());
        }
        let Some(last) = page.last else { return (ids, keys) };
        assert!(!page.items.is_empty(), "a page before another one is not empty");
        ask.after = None;
        match last.get(CURSOR) {
            Some(AttributeValue::S(after)) => ask.after = Some(after.clone()),
            _ if descending => ask.to = Bound::Excluded(last["at"].to_key().unwrap()),
            _ => ask.from = Bound::Excluded(last["at"].to_key().unwrap()),
        }
        keys.push(last);
    }
}

#[tokio::test]
async fn a_page_ends_where_the_sort_value_changes() {
    let memory = memory(&[1, 2, 2, 3, 3], 10);
    let (ids, keys) = read_all(&memory, 2, false).await;
    assert_eq!(ids, ["0", "1", "2", "3", "4"]);
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0]["at"], AttributeValue::N("1".to_owned()));
    assert_eq!(keys[1]["at"], AttributeValue::N("2".to_owned()));
    assert!(keys.iter().all(|it| it.len() == 2));
}

#[tokio::test]
async fn a_page_of_one_sort_value_carries_the_place_where_it_ended() {
    let memory = memory(&[1, 1, 1, 1, 2], 10);
    let (ids, keys) = read_all(&memory, 3, false).await;
    assert_eq!(ids, ["0", "1", "2", "3", "4"]);
    assert_eq!(keys[0].keys().collect::<Vec<_>>(), ["at", "customer", CURSOR]);
    let (ids, _) = read_all(&memory, 3, true).await;
    assert_eq!(ids, ["4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn the_last_page_says_that_it_is_the_last() {
    let memory = memory(&[1, 2, 3, 4], 10);
    let (_, keys) = read_all(&memory, 2, false).await;
    assert_eq!(keys.len(), 1);
    let (_, keys) = read_all(&memory, 4, false).await;
    assert!(keys.is_empty());
}

#[tokio::test]
async fn a_page_ends_at_a_megabyte() {
    let sorts: Vec<i64> = (0..30).collect();
    let memory = memory(&sorts, 100_000);
    let (ids, keys) = read_all(&memory, usize::MAX, false).await;
    assert_eq!(ids.len(), 30);
    // 11 of 100 kB pass the limit.
    let ends: Vec<&AttributeValue> = keys.iter().map(|it| &it["at"]).collect();
    let of = |it: &str| AttributeValue::N(it.to_owned());
    assert_eq!(ends, [&of("10"), &of("21")]);
}

#[tokio::test]
async fn few_small_items_are_asked_for_once() {
    let memory = memory(&[1, 2, 3], 10);
    read_all(&memory, usize::MAX, false).await;
    assert_eq!(memory.asked.lock().len(), 1);
}

proptest! {
    #[test]
    fn no_item_is_lost_or_comes_twice(
        sorts in prop::collection::vec(0_i64..6, 0..40),
        limit in 1_usize..9,
        descending in any::<bool>(),
        bytes in prop::sample::select(vec![1, 200_000]),
    ) {
        let memory = memory(&sorts, bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (ids, _) = runtime.block_on(read_all(&memory, limit, descending));
        let mut expected: Vec<(i64, usize)> =
            sorts.iter().enumerate().map(|(id, at)| (*at, id)).collect();
        expected.sort_unstable();
        if descending {
            expected.reverse();
        }
        let expected: Vec<String> = expected.iter().map(|(_, id)| id.to_string()).collect();
        prop_assert_eq!(ids, expected);
    }
}
