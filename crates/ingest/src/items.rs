//! What the APIs that read by key ask for: items of tables that the project serves.
//!
//! The doors know neither rows nor tables. Whoever runs them plugs the tables in here.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use base::{Kind, Name};

pub(crate) mod http;

/// Answers reads by key. Implementers hold a read to its limit and answer from one moment.
#[async_trait]
pub trait Items: Send + Sync {
    /// Returns the tables that are served, in the order of their names.
    fn tables(&self) -> Vec<ItemTable>;

    /// Returns one table that is served.
    fn table(&self, name: &str) -> Option<ItemTable> {
        self.tables().into_iter().find(|it| it.name == *name)
    }

    /// Returns the items of one key, in the order of the sort attribute.
    async fn find(&self, ask: Ask) -> Result<Found, ItemFault>;

    /// Returns the stream that takes what clients put into a table, if the project names one.
    fn takes_puts(&self, table: &str) -> Option<Name>;
}

/// A table that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemTable {
    /// The name.
    pub name: Name,
    /// The attribute by which items are found.
    pub key: Attribute,
    /// The attribute by which the items of one key are ordered; without it a key has one item.
    pub sort: Option<Attribute>,
    /// All attributes, in the order of the table's columns.
    pub attributes: Vec<Attribute>,
    /// How many items, about.
    pub items: u64,
    /// Their bytes, about.
    pub bytes: u64,
    /// Since when the table is there, in milliseconds since 1970.
    pub created_ms: u64,
}

/// A named attribute of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// The kind of its values.
    pub kind: AttributeKind,
}

/// The kinds of values that a key may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeKind {
    /// Text, dates and times.
    Text,
    /// Numbers of any kind.
    Number,
    /// Bytes.
    Bytes,
    /// Truth values, lists and structures: never a key.
    Other,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number in decimal, all digits kept.
    Number(String),
    /// Text; dates and times as in RFC 3339.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values one after the other.
    List(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

/// An item: its attributes by name, without those that are null.
pub type Item = BTreeMap<String, Value>;

/// A question for the items of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The table.
    pub table: String,
    /// The key: text, a number or bytes.
    pub key: Value,
    /// The least sort value.
    pub from: Bound<Value>,
    /// The greatest sort value.
    pub to: Bound<Value>,
    /// Texts that begin so, of a sort attribute of texts.
    pub begins_with: Option<String>,
    /// Whether the last of them come first.
    pub descending: bool,
    /// Items at most.
    pub limit: usize,
    /// Where an earlier answer ended: what it said in [`Found::next`].
    pub after: Option<String>,
}

/// The items found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The items.
    pub items: Vec<Item>,
    /// Where the next answer goes on, if there are more. It is text in a URL's letters.
    pub next: Option<String>,
}

/// Why a read was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ItemFault {
    /// What the caller should do.
    pub kind: Kind,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}
