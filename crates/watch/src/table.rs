//! The table `system.alerts`: every key that stands or stood, and what was told about it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Builder, RecordBatch, StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rows::schema::{arrived_to_micros, timestamp};

use crate::alert::state::{Standing, State};
use crate::alert::{Alert, KeyState};

/// The word in the column `state` of an alert without any key.
pub const STATE_CALM: &str = "calm";

/// Returns the schema of `system.alerts`.
pub fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
    Arc::new(Schema::new(vec![
        text("alert", false),
        text("key", true),
        text("state", false),
        text("title", true),
        Field::new("since", timestamp(), true),
        Field::new("last_change", timestamp(), true),
        Field::new("notices", DataType::Int64, false),
        Field::new("undelivered", DataType::Int64, false),
        text("row", true),
        text("last_error", true),
    ]))
}

/// Returns the rows of `system.alerts`: of each alert first the keys that stand, then those that
/// resolved last, newest first; of a calm alert one row without a key.
pub fn rows<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> RecordBatch {
    let mut builder = Builder::default();
    for alert in alerts {
        let state: &State = alert.state();
        let waiting = state.waiting();
        let waiting_of = |key: &str| waiting.get(key).copied().unwrap_or(0);
        for (key, standing) in &state.standing {
            let word = match standing.fired_ms {
                None => KeyState::Pending,
                Some(_) => KeyState::Firing,
            };
            builder.push(alert, key, (word, waiting_of(key)), standing);
        }
        for resolved in state.resolved.iter().rev() {
            if !state.standing.contains_key(&resolved.key) {
                let word = KeyState::Resolved;
                let key = &resolved.key;
                builder.push(alert, key, (word, waiting_of(key)), &resolved.standing);
            }
        }
        if state.standing.is_empty() && state.resolved.is_empty() {
            builder.push_calm(alert);
        }
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    alerts: StringViewBuilder,
    keys: StringViewBuilder,
    states: StringViewBuilder,
    titles: StringViewBuilder,
    since: TimestampMicrosecondBuilder,
    changes: TimestampMicrosecondBuilder,
    notices: Int64Builder,
    undelivered: Int64Builder,
    rows: StringViewBuilder,
    errors: StringViewBuilder,
}

impl Builder {
    fn push(
        &mut self,
        alert: &Alert,
        key: &str,
        (state, waiting): (KeyState, i64),
        standing: &Standing,
    ) {
        let to_int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.alerts.append_value(alert.name().as_str());
        self.keys.append_value(key);
        self.states.append_value(state.as_str());
        self.titles.append_value(&standing.title);
        self.since.append_value(arrived_to_micros(standing.started_ms));
        self.changes.append_value(arrived_to_micros(standing.changed_ms));
        self.notices.append_value(to_int(standing.notices));
        self.undelivered.append_value(waiting);
        self.rows.append_value(&standing.row);
        self.errors.append_option(standing.error.as_deref().or_else(|| alert.error()));
    }

    fn push_calm(&mut self, alert: &Alert) {
        self.alerts.append_value(alert.name().as_str());
        self.keys.append_null();
        self.states.append_value(STATE_CALM);
        self.titles.append_null();
        self.since.append_null();
        self.changes.append_null();
        self.notices.append_value(0);
        self.undelivered.append_value(0);
        self.rows.append_null();
        self.errors.append_option(alert.error());
    }

    fn finish(mut self) -> RecordBatch {
        let in_utc = |mut it: TimestampMicrosecondBuilder| -> ArrayRef {
            Arc::new(it.finish().with_data_type(timestamp()))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.alerts.finish()),
            Arc::new(self.keys.finish()),
            Arc::new(self.states.finish()),
            Arc::new(self.titles.finish()),
            in_utc(self.since),
            in_utc(self.changes),
            Arc::new(self.notices.finish()),
            Arc::new(self.undelivered.finish()),
            Arc::new(self.rows.finish()),
            Arc::new(self.errors.finish()),
        ];
        RecordBatch::try_new(schema(), columns)
            .expect("the builders have the types of the schema and the same length")
    }
}

#[cfg(test)]
mod tests;
