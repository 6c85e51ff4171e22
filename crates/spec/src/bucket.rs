//! Buckets: places with objects. What happens in one is a stream, what lies in it a table.

use base::Name;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::DeValue;

use crate::column::{Column, ColumnType};
use crate::ctx::{Declared, LoadCtx};
use crate::document::Value;
use crate::door::{DoorUse, Options};
use crate::names;
use crate::source::{Spot, Word};
use crate::sql::{self, Read, SqlText};
use crate::stream::{self, Stream};
use crate::table::{self, Table};

/// A place with objects.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The name.
    pub name: Name,
    /// Where it is declared.
    pub spot: Spot,
    /// The stream of what happens in it.
    pub events: Name,
    /// The table of what lies in it.
    pub objects: Name,
    /// What it is, for people.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words to find it by.
    pub tags: Vec<String>,
}

/// `[bucket.NAME]`: a place with objects. What happens in it is the stream `NAME_events`, what
/// lies in it the table `NAME_objects`; the door `files` reads its objects into other streams. Its other
/// settings are the options of the door `bucket`: `from`, `every`, `keep` ..
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct BucketOptions {
    /// What it is, for people.
    description: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Free words to find it by.
    #[serde(default)]
    tags: Vec<String>,
}

/// What is about a bucket in the project's own words; all else is for its door.
const OURS: &[&str] = &["description", "owner", "tags"];

/// The door that watches a bucket.
const DOOR: &str = "bucket";

const COLUMNS: &[(&str, ColumnType, bool)] = &[
    ("event", ColumnType::Text, true),
    ("key", ColumnType::Text, true),
    ("at", ColumnType::Timestamp, true),
    ("size", ColumnType::Int, false),
    ("type", ColumnType::Text, false),
    ("etag", ColumnType::Text, false),
    ("created", ColumnType::Timestamp, false),
    ("stream", ColumnType::Text, false),
    ("records", ColumnType::Int, false),
    ("message", ColumnType::Text, false),
    ("metadata", ColumnType::Json, false),
    ("tier", ColumnType::Text, false),
    ("stored", ColumnType::Int, false),
];

/// What a bucket declares.
pub(crate) struct Declares {
    pub(crate) bucket: Bucket,
    pub(crate) events: (Declared, Stream),
    pub(crate) objects: (Declared, Table, Vec<Read>),
}

/// Reads a bucket.
pub(crate) fn read(
    ctx: &mut LoadCtx<'_>,
    declared: Declared,
    value: Value<'_>,
) -> Option<Declares> {
    let range = value.span();
    let (options, about) = split(ctx, value);
    let about: BucketOptions = ctx.read(serde_spanned::Spanned::new(range, DeValue::Table(about)));
    let events = beside(ctx, &declared, "events")?;
    let objects = beside(ctx, &declared, "objects")?;
    let name = &declared.name;
    let door = Word { text: DOOR.to_owned(), spot: declared.spot.clone() };
    let column = |(name, kind, not_null): &(&str, ColumnType, bool)| Column {
        name: (*name).to_owned(),
        kind: *kind,
        not_null: *not_null,
        spot: declared.spot.clone(),
    };
    let stream = Stream {
        time: Some("at".to_owned()),
        key: Some("key".to_owned()),
        from: vec![DoorUse { door, options }],
        columns: COLUMNS.iter().map(column).collect(),
        description: Some(format!("What happens in the bucket `{name}`.")),
        owner: about.owner.clone(),
        ..stream::plain(events.name.clone(), declared.spot.clone())
    };
    let sql = SqlText::new(objects_of(&events.name), declared.spot.clone(), false);
    let reads = sql::parse_select(&sql).unwrap_or_default();
    let table = Table {
        description: Some(format!("What lies in the bucket `{name}`.")),
        owner: about.owner.clone(),
        ..table::plain(objects.name.clone(), declared.spot.clone(), sql)
    };
    let bucket = Bucket {
        events: events.name.clone(),
        objects: objects.name.clone(),
        description: about.description,
        owner: about.owner,
        tags: about.tags,
        name: declared.name,
        spot: declared.spot,
    };
    Some(Declares { bucket, events: (events, stream), objects: (objects, table, reads) })
}

/// The newest of what was told of each object, but for those that are gone.
fn objects_of(events: &Name) -> String {
    format!(
        "SELECT key, size, type, etag, created, at AS seen, metadata,
                coalesce(tier, 'hot') AS tier, coalesce(stored, size) AS stored FROM (
           SELECT event, key, size, type, etag, created, at, metadata, tier, stored,
                  ROW_NUMBER() OVER (PARTITION BY key ORDER BY _sequence DESC) AS place
           FROM {events} WHERE event IN ('created', 'changed', 'deleted', 'moved'))
         WHERE place <= 1 AND event <> 'deleted'"
    )
}

/// Returns the name of something that a bucket brings along.
fn beside(ctx: &mut LoadCtx<'_>, declared: &Declared, what: &str) -> Option<Declared> {
    let (spot, range) = (declared.spot.clone(), declared.range.clone());
    match names::check(&format!("{}_{what}", declared.name)) {
        Ok(name) => Some(Declared { name, spot, range }),
        Err((message, help)) => {
            ctx.fault(&range, message, Some(help));
            None
        }
    }
}

/// Takes apart what is for the door and what is about the bucket.
fn split<'i>(ctx: &mut LoadCtx<'_>, value: Value<'i>) -> (Options, toml::de::DeTable<'i>) {
    let range = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        return (Options::nothing(ctx, range), toml::de::DeTable::new());
    };
    let (ours, theirs) =
        table.into_iter().partition(|(key, _)| OURS.contains(&key.get_ref().as_ref()));
    (Options::read(ctx, theirs, range), ours)
}
