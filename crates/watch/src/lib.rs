//! Alerts: which rows alarm, who is told, and that nobody is told twice.
//!
//! ```text
//! rows of an alert's SELECT ──► Alert ──► notices ──► Notifier ──► webhook, mail, log
//!                                 ▲          │            │
//!                                 └── outbox ┴── settled ─┘   (both part of the alert's state)
//! ```
//!
//! An [`Alert`] is a pure state machine: rows and a time go in, notices come out, and its state is
//! bytes that a checkpoint keeps. A [`Notifier`] delivers notices beside the flow and never holds
//! it up. After a crash a notice may be delivered again, with the same id; none is lost.
//!
//! It does not know any SQL engine, nor when the SELECT is asked.

pub mod alert;
pub mod notice;
pub mod notifier;
pub mod table;

mod mail;
mod message;
mod title;
mod way;
mod webhook;

pub use crate::alert::Alert;
pub use crate::mail::Mail;
pub use crate::message::Message;
pub use crate::notice::{Notice, NoticeState};
pub use crate::notifier::{Notifier, Settled, TargetState};
pub use crate::webhook::Attempt;
