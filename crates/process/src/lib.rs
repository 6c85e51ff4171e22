//! Rows in motion: checks, tables, windows, and their hand-over to storage, each row exactly once.
//!
//! The streams and tables that FROM ties together are one flow. A flow *ticks*: it reads what has
//! arrived in the journal, decodes and checks it, runs it through its tables, and shows all of them
//! at once as one [`View`]. An *epoch* covers many ticks: prepared, written into one checkpoint
//! (the commit point), committed to every table, so that a crash at any moment loses nothing and
//! repeats nothing.
//!
//! ```text
//!  project ──► plan: flows, kinds of tables
//!  journal ──► flow: tick ──► check ──► tables (pipe, operator) ──► view (hot ∪ cold) ──► queries
//!                      └──► epoch: prepare ► state ► checkpoint ► commit ──► sinks
//! ```
//!
//! It does not know where tables lie: it writes through [`rows::sink::Sink`] and reads back through
//! table providers that the program hands over.

mod plan;
mod session;
mod setup;

mod checkpoint;
mod flow;
mod handle;
mod handover;
mod replay;
mod stats;
mod trace;

mod batch;

mod check;
mod lookup;
mod table;

mod operator;
mod pipe;
mod slot;
mod spill;

mod hot;
mod serial;
mod view;

pub mod bench;
mod error;
pub mod memory;

pub use crate::error::Error;
pub use crate::flow::{Beside, Build, BuildSetup, Flow, Progress, built_tables};
pub use crate::handle::FlowHandle;
pub use crate::plan::{FlowPlan, Made, Output, Plan, TableKind, plan, plan_sound};
pub use crate::replay::{Replay, Replayed};
pub use crate::setup::{Grown, GrownPart, GrownRows, Observer, Settings, Setup, Storage};
pub use crate::stats::{
    CheckState, CheckStats, LookupStats, RunState, RunStats, Stats, StreamStats, TableStats,
};
pub use crate::trace::{Found, Group, Trace, TraceStep};
pub use crate::view::keyed::{HotKeys, HotRow};
pub use crate::view::{TableView, View};
