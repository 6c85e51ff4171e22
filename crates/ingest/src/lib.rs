//! The doors: how records come in.
//!
//! A door takes bytes from outside, cuts them into records and hands them to the [`Inlet`], which
//! chooses shards and appends to the journal. What a door answers with "accepted" is on disk.
//!
//! ```text
//!  POST /v1/streams/orders/records ─ http ────┐
//!  POST / with X-Amz-Target ──────── kinesis ─┤
//!  the same, and deliveries ─────── firehose ─┤
//!  PutItem of the same ───────────── dynamodb ┤
//!  a made-up shop ────────────────── generate ┼─► Inlet: key → shard ─► journal (one append, all or nothing)
//!  this machine's measurements ───── host ────┤
//!  what happens in a folder, in S3 ─ bucket ──┤
//!  the files that lie there ──────── files ───┘
//!      ▲ PutObject of S3 drops a file there
//! ```
//!
//! It knows neither rows nor tables: what is inside a record is for `rows` to find out, so a broken
//! record is accepted here and becomes a dead letter there.

mod aws;
mod bucket;
mod door;
mod dynamo;
mod files;
mod firehose;
mod generate;
mod host;
mod http;
mod inlet;
mod items;
mod kept;
mod keys;
mod kinesis;
mod lines;
mod on_demand;
mod rate;
mod refusal;
mod router;
mod s3;
mod share;
mod sns;

pub use crate::bucket::cold::ColdObjects;
pub use crate::bucket::place::{BucketPlace, OwnPlace};
pub use crate::bucket::snapshot::{BucketRestored, BucketSnapshot, BucketWanted};
pub use crate::bucket::store::is_store_setting;
pub use crate::door::{Door, OptionFault, Running};
pub use crate::files::{Dates, FileRecords, OpenFile};
pub use crate::inlet::{Accepted, Counts, Incoming, Inlet, Intake, KeyOf};
pub use crate::items::{
    Ask, Attribute, AttributeKind, Found, Item, ItemFault, ItemTable, Items, Value,
};
pub use crate::kept::KeptFault;
pub use crate::keys::guard::guard;
pub use crate::keys::{Act, Key, Keys};
pub use crate::on_demand::keep_balanced;
pub use crate::rate::Rate;
pub use crate::refusal::{Limit, Refusal};
pub use crate::router::{router, router_with};
pub use crate::s3::object::{NewObject, ObjectFault};
pub use crate::s3::with_s3;
pub use crate::sns::{Mail, Message, Messenger, Sent};

/// Every door; the order is that of the reference.
pub const DOORS: &[&dyn Door] = &[
    &http::Http,
    &kinesis::Kinesis,
    &firehose::Firehose,
    &dynamo::DynamoDb,
    &generate::Generate,
    &host::Host,
    &bucket::BucketDoor,
    &files::Files,
];

/// Returns the door of that name.
pub fn door(name: &str) -> Option<&'static dyn Door> {
    DOORS.iter().copied().find(|it| it.name() == name)
}

#[cfg(test)]
mod tests;
