//! SQL: sessions, our functions, faults with positions, questions, the PostgreSQL wire.
//!
//! A question is planned on one [`Snapshot`] of all tables, verified to be read-only, and answered
//! as a stream of batches within limits of time and memory, and those of the [`Asker`]. What some
//! statements change (files in buckets, tables of the project) is done by a [`Changes`]. `process` builds its plans on the same
//! [`context()`], so that the same SQL means the same on streams and on tables.
//!
//! ```text
//!  text ──► engine: parse, plan on one snapshot, verify ──► rows
//!             ▲ catalog (handed over)      ▲ functions
//!  psql ──► postgres: wire, login, cursors ┘
//! ```
//!
//! It does not know where tables lie: whoever has them hands over a [`Catalog`].
//! Questions run on the threads that [`Engine::on_threads`] is given, in turns (`turns`, `apart`).

pub mod context;
pub mod functions;
mod types;

pub mod catalog;
mod hidden;
mod past;

mod apart;
pub mod asker;
pub mod changes;
mod cheap_first;
pub mod check;
mod counted;
mod dialect;
pub mod engine;
mod join_order;
pub mod lineage;
mod once;
mod selective;
mod statement;
mod turns;

pub mod postgres;

pub mod error;
mod position;
mod words;

#[cfg(test)]
mod sample;

pub use crate::asker::{AskLimits, AskRights, Asker};
pub use crate::catalog::{Catalog, Snapshot};
pub use crate::changes::{Changes, FileForm, FileTarget, NewTable};
pub use crate::context::{ContextSettings, context};
pub use crate::engine::{Answer, Engine};
pub use crate::error::SqlError;
pub use crate::hidden::FINAL;
pub use crate::past::{AsOf, Past};
