//! What a door is, how its options are read, and how it is stopped.

use std::future::Future;

use base::{Name, nearest};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::inlet::Inlet;

/// One way in, named in a stream's `from`.
///
/// `check` and `open` take the same options and find the same faults; `check` needs no network and
/// has no effect. A door never counts its records: the [`Inlet`] does.
pub trait Door: Send + Sync {
    /// Returns the word that `from` uses.
    fn name(&self) -> &'static str;

    /// Returns one sentence for the reference.
    fn summary(&self) -> &'static str;

    /// Returns a `from` entry with options as a user would write it.
    fn example(&self) -> &'static str;

    /// Returns the JSON Schema of the options, with their documentation; without more, a door has
    /// none.
    fn options(&self) -> Schema {
        schema_of::<NoOptions>()
    }

    /// Looks for faults in the options.
    fn check(&self, options: &toml::Table) -> Result<(), OptionFault> {
        parse::<NoOptions>(options).map(|NoOptions {}| ())
    }

    /// Begins to take records for `stream`; without more, the router serves the door.
    fn open(&self, options: &toml::Table, _: &Inlet, _: &Name) -> Result<Running, OptionFault> {
        self.check(options).map(|()| Running::served())
    }
}

/// Options of a door that has none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// A fault in the options of a door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OptionFault {
    /// The option, as a path below the door's table (`burst.every`); none if a whole door is meant.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
    /// A hint, if there is one.
    pub help: Option<String>,
}

impl OptionFault {
    pub(crate) fn at(key: impl Into<String>, message: impl Into<String>) -> OptionFault {
        OptionFault { key: Some(key.into()), message: message.into(), help: None }
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> OptionFault {
        self.help = Some(help.into());
        self
    }
}

/// A door that is open.
#[derive(Debug)]
pub struct Running {
    task: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Running {
    /// A door without a task of its own: the router serves it.
    pub(crate) fn served() -> Running {
        Running { task: None }
    }

    /// Runs `body` in the background until its [`Stop`] says so.
    pub(crate) fn start<F>(name: &'static str, body: impl FnOnce(Stop) -> F) -> Running
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let task = base::task::spawn(name, body(Stop(stopped)));
        Running { task: Some((stop, task)) }
    }

    /// Closes the door and waits until the batch under way is written down.
    pub async fn stop(mut self) {
        if let Some((stop, task)) = self.task.take() {
            stop.send_replace(true);
            if let Err(error) = task.await {
                tracing::warn!(%error, "a door did not stop by itself");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((stop, _)) = &self.task {
            stop.send_replace(true);
        }
    }
}

/// Tells a door's task to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits for `pause`; returns true if the door is to close.
    pub(crate) async fn within(&mut self, pause: impl Future<Output = ()>) -> bool {
        tokio::select! {
            // The sender is gone only when the door's owner is.
            _gone = self.0.wait_for(|stop| *stop) => return true,
            () = pause => {}
        }
        *self.0.borrow()
    }
}

/// Reads a door's options; a fault names the option it is about.
pub(crate) fn parse<T: DeserializeOwned>(options: &toml::Table) -> Result<T, OptionFault> {
    let mut options = options.clone();
    options.remove("door");
    options.try_into().map_err(|error: toml::de::Error| {
        let message = error.message().trim().to_owned();
        let within = error
            .to_string()
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("in `")?.strip_suffix('`').map(str::to_owned));
        let own = quoted_after(&message, "unknown field `");
        let key = match (within, own) {
            // The library names the key either once, with its table, or only in the message.
            (Some(within), Some(own)) if within.ends_with(own) => Some(within),
            (Some(within), Some(own)) => Some(format!("{within}.{own}")),
            (within, own) => within.or_else(|| own.map(str::to_owned)),
        };
        let help = own.and_then(|own| {
            let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            nearest(own, known).map(|it| format!("did you mean `{it}`?"))
        });
        OptionFault { key, message: in_our_words(&message), help }
    })
}

/// The library speaks of Rust; users speak of options and numbers.
fn in_our_words(message: &str) -> String {
    let words = [
        ("unknown field `", "unknown option `"),
        ("missing field `", "missing option `"),
        (", there are no fields", ": this door has no options"),
        ("expected f64", "expected a number"),
        ("expected i64", "expected a whole number"),
        ("expected u64", "expected a whole number, not below 0"),
        ("expected u32", "expected a whole number, not below 0"),
        ("expected usize", "expected a whole number, not below 0"),
        ("expected struct FieldOptions", "expected a table"),
        ("expected struct Burst", "expected a table"),
    ];
    words.iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Returns the JSON Schema of an options struct.
pub(crate) fn schema_of<T: JsonSchema>() -> Schema {
    schemars::schema_for!(T)
}

fn quoted_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once('`').map(|(quoted, _)| quoted)
}
