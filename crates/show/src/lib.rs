//! The HTTP API for people and programs, and the console in the browser.
//!
//! ```text
//!   browser ──► assets (the console)            Answers (asked in SQL)   ◄── the program plugs
//!   programs ─► sql, dead, pipeline, metrics ──► Pipeline (facts, replay) ◄── its engine in here
//!        ▲                                         │ once a second
//!        └───────────── live (server-sent events) ◄┘ one computation for all pages
//! ```
//!
//! It promises that many open pages cost as much as one, that a slow page never holds up another,
//! and that nothing another site's page sends changes anything here.
//!
//! It does not know: the SQL engine, where rows lie, how records arrive. It asks through two
//! traits, [`Answers`] and [`Pipeline`], and shows what they say.

mod answers;
mod facts;
mod pipeline;

mod encode;
mod fault;

mod charts;
mod graph;
mod rates;

mod assets;
mod catalog;
mod change;
mod dead;
mod guard;
mod live;
mod metrics;
mod routes;
mod runs;
mod sql;
mod trace;

pub use crate::answers::{Answer, Answers, AskError, Batches, Question};
pub use crate::catalog::search::Hit;
pub use crate::catalog::{Brief, Catalog, Entry, EntryColumn, EntryKind, Origin, Reader};
pub use crate::change::{
    ApplyState, Applying, Back, Change, ChangeAction, ChangeBuild, ChangeItem, Waiting, Wanted,
};
pub use crate::facts::{
    Alert, AlertInstance, AlertState, Chart, ChartFill, ChartKind, Check, Column, Dashboard, Door,
    Edge, Facts, Flow, Journal, Node, NodeKind, Notice, NoticeState, Problem, Reject, Stream,
    Table, TableKind,
};
pub use crate::guard::Hosts;
pub use crate::pipeline::{Begun, Pipeline, Replay, Replayed, Restore, Restored, RestoredObjects};
pub use crate::routes::{Settings, Show};
pub use crate::trace::{
    Row, Trace, TraceAlert, TraceFound, TraceGroup, TraceRecord, TraceState, TraceTable,
};

#[cfg(test)]
extern crate self as show;

/// A pipeline without an engine, shared with the example `console`.
#[cfg(test)]
#[path = "../examples/console/shop.rs"]
mod shop;
#[cfg(test)]
#[path = "../examples/console/tables.rs"]
mod tables;
