//! What Kinesis knows of a stream that the journal need not: tags, consumers, settings that are told
//! back. It lies in the note that the journal keeps beside the stream, so that it is durable before
//! it is answered and goes with the stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::target::{arn_of, blocking};
use crate::aws::Call;
use crate::aws::fault::Fault;
use crate::inlet::Stream;
use crate::refusal::Refusal;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) consumers: Vec<Consumer>,
    /// Shard-level metrics that were switched on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) metrics: Vec<String>,
    /// The key that a client asked to encrypt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
    /// What an on-demand stream is to be ready for, in MiB a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warm_mibps: Option<u32>,
}

/// A registered consumer of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) created_ms: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
}

impl Consumer {
    pub(super) fn arn(&self, stream: &str) -> String {
        format!("{}/consumer/{}:{}", arn_of(stream), self.name, self.created_ms / 1_000)
    }
}

/// The note as a whole; what others put there stays.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    #[serde(default)]
    kinesis: State,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Note {
    fn read(text: Option<&str>) -> Result<Note, Fault> {
        let Some(text) = text else { return Ok(Note::default()) };
        serde_json::from_str(text).map_err(|error| {
            tracing::error!(%error, "what Kinesis remembers of a stream cannot be read");
            Fault::internal()
        })
    }
}

impl From<journal::Error> for Fault {
    fn from(error: journal::Error) -> Fault {
        Fault::of(&Refusal::Journal(error), "")
    }
}

impl State {
    pub(super) fn of(call: Call<'_>, stream: &Stream) -> Result<State, Fault> {
        let note = call.inlet.journal().note(stream.id);
        let note = note.map_err(|error| Fault::of(&error.into(), &stream.name))?;
        Note::read(note.as_deref()).map(|it| it.kinesis)
    }

    /// Reads it out of the note beside a stream, if it can be read.
    pub(super) fn read(note: &str) -> Option<State> {
        Note::read(Some(note)).ok().map(|it| it.kinesis)
    }

    /// Changes the state of a stream; it is durable when this returns.
    pub(super) async fn change<T: Send + 'static>(
        call: Call<'_>,
        stream: &Arc<Stream>,
        change: impl FnOnce(&mut State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (journal, id) = (call.inlet.journal().clone(), stream.id);
        blocking(move || {
            journal.change_note(id, |text| {
                let mut note = Note::read(text)?;
                let done = change(&mut note.kinesis)?;
                let text = serde_json::to_string(&note).map_err(|_never| Fault::internal())?;
                Ok((Some(text), done))
            })
        })
        .await?
    }

    pub(super) fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers.iter().find(|it| it.name == name)
    }

    /// Returns the tags of the stream, or of one of its consumers.
    pub(super) fn tags_of(
        &mut self,
        consumer: Option<&str>,
    ) -> Option<&mut BTreeMap<String, String>> {
        match consumer {
            None => Some(&mut self.tags),
            Some(name) => {
                self.consumers.iter_mut().find(|it| it.name == name).map(|it| &mut it.tags)
            }
        }
    }
}

#[cfg(test)]
mod tests;
