//! Rates made of totals: what the console shows as "records a second".

use std::collections::{HashMap, VecDeque};

use base::limits;

use crate::facts::Facts;

/// Rates are over the last few seconds: one second alone flickers, ten hide a stop for too long.
const WINDOW_MS: u64 = 5_000;

/// Remembers the totals of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    seen: HashMap<String, VecDeque<(u64, u64)>>,
    history: HashMap<String, VecDeque<f64>>,
}

impl Rates {
    /// Fills in all rates, and what else follows from the totals; called once a second.
    pub(crate) fn observe(&mut self, facts: &mut Facts) {
        let now_ms = facts.now_ms;
        for stream in &mut facts.streams {
            for door in &mut stream.doors {
                let id = format!("door {} {}", stream.name, door.kind);
                door.per_second = self.rate(&id, now_ms, door.records);
            }
            let id = format!("stream {}", stream.name);
            stream.per_second = self.rate(&id, now_ms, stream.received);
            let rejected = stream.rejects.iter().map(|it| it.count).sum();
            let rejects = format!("rejects {}", stream.name);
            stream.rejects_per_second = self.rate(&rejects, now_ms, rejected);
            // One total alone is no rate yet: a line that begins at 0 would tell a lie.
            let is_known = self.seen.get(&id).is_some_and(|it| 1 < it.len());
            let history = self.history.entry(id).or_default();
            if is_known {
                history.push_back(stream.per_second);
            }
            while limits::RATE_HISTORY_MAX < history.len() {
                history.pop_front();
            }
            stream.history = history.iter().copied().collect();
        }
        for edge in &mut facts.edges {
            edge.per_second = self.rate(&format!("{} {}", edge.from, edge.to), now_ms, edge.rows);
        }
        complete(facts);
    }

    /// Gives `facts` the rates known already, without counting it as a new second.
    pub(crate) fn fill(&self, facts: &mut Facts) {
        let last = |id: &str| self.seen.get(id).map_or(0.0, rate_of);
        for stream in &mut facts.streams {
            for door in &mut stream.doors {
                door.per_second = last(&format!("door {} {}", stream.name, door.kind));
            }
            let id = format!("stream {}", stream.name);
            stream.per_second = last(&id);
            stream.rejects_per_second = last(&format!("rejects {}", stream.name));
            stream.history =
                self.history.get(&id).map(|it| it.iter().copied().collect()).unwrap_or_default();
        }
        for edge in &mut facts.edges {
            edge.per_second = last(&format!("{} {}", edge.from, edge.to));
        }
        complete(facts);
    }

    fn rate(&mut self, id: &str, now_ms: u64, total: u64) -> f64 {
        if !self.seen.contains_key(id) {
            self.seen.insert(id.to_owned(), VecDeque::new());
        }
        let Some(seen) = self.seen.get_mut(id) else { return 0.0 };
        // A total that went down belongs to something made anew: begin again.
        if seen.back().is_some_and(|(at_ms, before)| total < *before || now_ms < *at_ms) {
            seen.clear();
        }
        if seen.back().is_none_or(|(at_ms, _)| *at_ms < now_ms) {
            seen.push_back((now_ms, total));
        }
        while seen.get(1).is_some_and(|(at_ms, _)| *at_ms + WINDOW_MS <= now_ms) {
            seen.pop_front();
        }
        rate_of(seen)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate shown to people needs no 53 bits")]
fn rate_of(seen: &VecDeque<(u64, u64)>) -> f64 {
    match (seen.front(), seen.back()) {
        (Some((from_ms, before)), Some((to_ms, after))) if from_ms < to_ms => {
            (after - before) as f64 * 1_000.0 / (to_ms - from_ms) as f64
        }
        _ => 0.0,
    }
}

/// What follows from the totals alone.
fn complete(facts: &mut Facts) {
    for stream in &mut facts.streams {
        let known = i128::from(stream.stored) + i128::from(stream.dead);
        let residue = i128::from(stream.received) - known - i128::from(stream.pending);
        let clamped = residue.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        stream.residue = i64::try_from(clamped).unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests;
