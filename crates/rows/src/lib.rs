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

pub mod dead;
mod declared;
pub mod decode;
pub mod schema;
pub mod sink;

pub use crate::dead::DeadKind;
pub use crate::declared::{Column, ColumnType, Format, Stream};
pub use crate::decode::{Decoded, Decoder};
