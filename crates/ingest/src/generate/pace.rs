//! How many records are due: a steady rate, with surges that come round.

use std::time::Duration;

/// A surge that comes round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Surge {
    pub(crate) every: Duration,
    pub(crate) lasts: Duration,
    pub(crate) factor: f64,
}

/// Counts out records as time goes by.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    rate: f64,
    surge: Option<Surge>,
    reached: Duration,
    /// Parts of records that are due but not whole yet.
    usual_owed: f64,
    surge_owed: f64,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Records of the steady rate.
    pub(crate) usual: u64,
    /// Records that a surge adds.
    pub(crate) surge: u64,
}

/// After a stop longer than this (a full journal, a sleeping laptop) the missed records are not
/// made up for: nobody wants the burst that would follow.
const BEHIND_MAX: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(rate: f64, surge: Option<Surge>, now: Duration) -> Pace {
        Pace { rate, surge, reached: now, usual_owed: 0.0, surge_owed: 0.0 }
    }

    /// Returns what became due since the last time, as counted from the door's opening.
    pub(crate) fn due(&mut self, now: Duration) -> Due {
        let from = self.reached.max(now.saturating_sub(BEHIND_MAX));
        let span = now.saturating_sub(from);
        self.reached = self.reached.max(now);
        self.usual_owed += self.rate * span.as_secs_f64();
        if let Some(surge) = self.surge {
            let within = surge.until(now).saturating_sub(surge.until(from));
            self.surge_owed += self.rate * (surge.factor - 1.0) * within.as_secs_f64();
        }
        Due { usual: whole(&mut self.usual_owed), surge: whole(&mut self.surge_owed) }
    }

    /// Returns how long to wait at least for the next record.
    pub(crate) fn next_in(&self) -> Duration {
        let missing = (1.0 - self.usual_owed).max(0.0);
        Duration::from_secs_f64((missing / self.rate).min(1.0))
    }
}

impl Surge {
    /// Returns how much of the time up to `now` was surge; each surge ends a round.
    fn until(&self, now: Duration) -> Duration {
        let every_ms = self.every.as_millis().max(1);
        let rounds = u32::try_from(now.as_millis() / every_ms).unwrap_or(u32::MAX);
        let calm = self.every.saturating_sub(self.lasts);
        let into = now.saturating_sub(self.every.saturating_mul(rounds)).saturating_sub(calm);
        self.lasts.saturating_mul(rounds) + into
    }
}

/// Takes the whole records out of what is owed.
fn whole(owed: &mut f64) -> u64 {
    let count = owed.floor().max(0.0);
    *owed -= count;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a second at the highest rate and factor is far below 2^53"
    )]
    let count = count as u64;
    count
}

#[cfg(test)]
mod tests;
