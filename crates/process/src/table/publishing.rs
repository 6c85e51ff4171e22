//! When the stored copy of a table is replaced whose rows change all the time.

use base::Span;
use rows::sink::{Change, Replace};

use crate::spill::shown::Shown;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Publishing {
    /// Whether the stored copy is older than the rows.
    is_behind: bool,
    last_ms: Option<u64>,
}

impl Publishing {
    /// Notes that the stored copy may be older than the rows.
    pub(crate) fn fall_behind(&mut self) {
        self.is_behind = true;
    }

    /// Returns the change that brings the stored copy up to date, if it is time for one.
    pub(crate) fn change(&mut self, every: Span, shown: &Shown, now_ms: u64) -> Option<Change> {
        let is_due = self.last_ms.is_none_or(|it| every.as_millis() <= now_ms.saturating_sub(it));
        if !self.is_behind || !is_due {
            return None;
        }
        self.is_behind = false;
        self.last_ms = Some(now_ms);
        Some(shown.clone().into_change(Replace::All))
    }
}
