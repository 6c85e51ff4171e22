//! Items in memory, to be asked as those of tables are.

use std::cmp::Ordering;
use std::ops::Bound;

use async_trait::async_trait;
use base::{Kind, Name};
use parking_lot::Mutex;

use crate::dynamo::number::Number;
use crate::items::{
    Ask, Attribute, AttributeKind, Found, Item, ItemFault, ItemTable, Items, Value,
};

/// Tables with their rows in the order they came.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) tables: Vec<Table>,
    /// What was asked, in order.
    pub(crate) asked: Mutex<Vec<Ask>>,
    /// Answers this instead, once it has answered so many.
    pub(crate) fault: Mutex<Option<(usize, ItemFault)>>,
}

pub(crate) struct Table {
    pub(crate) about: ItemTable,
    pub(crate) rows: Vec<Item>,
    pub(crate) puts: Option<Name>,
}

pub(crate) fn table(name: &str, key: &str, sort: Option<(&str, AttributeKind)>) -> Table {
    let attribute = |name: &str, kind| Attribute { name: name.to_owned(), kind };
    let about = ItemTable {
        name: Name::new(name).unwrap(),
        key: attribute(key, AttributeKind::Text),
        sort: sort.map(|(name, kind)| attribute(name, kind)),
        attributes: Vec::new(),
        items: 0,
        bytes: 0,
        created_ms: crate::tests::NOW_MS + 500,
    };
    Table { about, rows: Vec::new(), puts: None }
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub(crate) fn number(number: impl ToString + Copy) -> Value {
    Value::Number(number.to_string())
}

pub(crate) fn item<const N: usize>(pairs: [(&str, Value); N]) -> Item {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Memory {
    pub(crate) fn fail(&self, after: usize, kind: Kind) {
        let message = "the items are away".to_owned();
        let help = Some("ask again".to_owned());
        *self.fault.lock() = Some((after, ItemFault { kind, message, help }));
    }

    fn failed(&self) -> Option<ItemFault> {
        let mut fault = self.fault.lock();
        let (left, found) = fault.as_mut()?;
        match left.checked_sub(1) {
            None => Some(found.clone()),
            Some(less) => {
                *left = less;
                None
            }
        }
    }
}

#[async_trait]
impl Items for Memory {
    fn tables(&self) -> Vec<ItemTable> {
        self.tables
            .iter()
            .map(|it| ItemTable { items: it.rows.len() as u64, ..it.about.clone() })
            .collect()
    }

    async fn find(&self, ask: Ask) -> Result<Found, ItemFault> {
        if let Some(fault) = self.failed() {
            return Err(fault);
        }
        self.asked.lock().push(ask.clone());
        let table = self.tables.iter().find(|it| *it.about.name == ask.table).unwrap();
        let sort = |row: &Item| row.get(&table.about.sort.as_ref()?.name).cloned();
        let mut rows: Vec<(usize, &Item)> = table.rows.iter().enumerate().collect();
        rows.retain(|(_, row)| {
            let has_key =
                row.get(&table.about.key.name).is_some_and(|it| order(it, &ask.key).is_eq());
            has_key && is_within(&ask, sort(row).as_ref())
        });
        rows.sort_by(|(_, left), (_, right)| match (sort(left), sort(right)) {
            (Some(left), Some(right)) => order(&left, &right),
            (left, right) => left.is_some().cmp(&right.is_some()),
        });
        if ask.descending {
            rows.reverse();
        }
        if let Some(after) = &ask.after {
            let after: usize = after.strip_prefix("row-").unwrap().parse().unwrap();
            let at = rows.iter().position(|(index, _)| *index == after).unwrap();
            rows.drain(..=at);
        }
        let has_more = ask.limit < rows.len();
        rows.truncate(ask.limit);
        let last = rows.last().map(|(index, _)| format!("row-{index}"));
        let next = if has_more { last } else { None };
        Ok(Found { items: rows.into_iter().map(|(_, row)| row.clone()).collect(), next })
    }

    fn takes_puts(&self, table: &str) -> Option<Name> {
        self.tables.iter().find(|it| *it.about.name == *table)?.puts.clone()
    }
}

fn is_within(ask: &Ask, sort: Option<&Value>) -> bool {
    let Some(sort) = sort else {
        return matches!((&ask.from, &ask.to), (Bound::Unbounded, Bound::Unbounded));
    };
    let above = match &ask.from {
        Bound::Unbounded => true,
        Bound::Included(least) => order(sort, least).is_ge(),
        Bound::Excluded(least) => order(sort, least).is_gt(),
    };
    let below = match &ask.to {
        Bound::Unbounded => true,
        Bound::Included(most) => order(sort, most).is_le(),
        Bound::Excluded(most) => order(sort, most).is_lt(),
    };
    let begins = match (&ask.begins_with, sort) {
        (Some(start), Value::Text(text)) => text.starts_with(start),
        _ => true,
    };
    above && below && begins
}

fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Number::parse(left).unwrap().cmp(&Number::parse(right).unwrap())
        }
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        other => panic!("{other:?} have no order"),
    }
}
