//! Records become rows: formats, schemas, Arrow batches, and what a sink must promise.
//!
//! ```text
//! bytes + place ──► Decoder ──► rows     (a RecordBatch of the stream's columns)
//!                           └─► rejects  (a RecordBatch of the dead letters)
//! ```
//!
//! A bad record never costs its neighbours anything and never stops a stream: decoding always
//! answers with rows *and* rejects. Values are exact: what does not fit its column's type is a
//! reject, never rounded or cut.
//!
//! It does not know any SQL engine, nor where records come from or rows go to.

pub mod schema;

mod key;
pub mod keyed;

pub mod decode;

mod column;
mod moment;
mod number;

pub mod dead;
pub mod sink;

pub mod files;
pub mod infer;

pub mod bench;
pub mod csv;
pub mod json;

pub use crate::dead::DeadKind;
pub use crate::decode::{Decoded, Decoder};
pub use crate::key::{KeyOf, key_of};
