//! Streams whose shards follow the load: `shards = "auto"`, the on-demand mode of Kinesis.
//!
//! A shard is worth what it is worth with AWS, 1 MiB or 1,000 records a second, so that consumers
//! find the parallelism they know; the journal takes many times that. What to do is decided by
//! [`decide`] alone, from rates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{ShardId, limits};
use journal::{Draft, ShardInfo, StreamId};

use crate::door::Running;
use crate::inlet::{Inlet, Stream};

/// What one shard takes in a second with AWS.
const SHARD_BYTES: f64 = 1_048_576.0;
const SHARD_RECORDS: f64 = 1_000.0;

/// A shard is split beyond this part of what it takes, so that twice the load still fits.
const SPLIT_ABOVE: f64 = 0.5;

/// A shard is quiet below this part; two quiet ones together are still far from a split.
const QUIET_BELOW: f64 = 0.125;

/// Shards that were quiet for so long are merged: a pause for lunch does not undo a morning.
const QUIET_FOR: Duration = Duration::from_secs(15 * 60);

/// How often the load is looked at: short enough for a sale, long enough for a rate that means
/// something.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is known of the load of an open shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) shard: ShardId,
    pub(crate) hash_start: u128,
    pub(crate) hash_end: u128,
    /// The part of what a shard takes that came in lately; above 1 if it was more.
    pub(crate) used: f64,
    /// For how long it has been quiet.
    pub(crate) quiet_for: Duration,
}

/// One change of a stream's shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Split(ShardId, u128),
    Merge(ShardId, ShardId),
}

/// Decides what to split and what to merge, given the load of all open shards in the order of their
/// ranges, and how many shards there may be at least and at most.
pub(crate) fn decide(loads: &[Load], min: usize, max: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut count = loads.len();
    let mut busy: Vec<&Load> = loads.iter().filter(|it| SPLIT_ABOVE < it.used).collect();
    // Where there is no room for all, the busiest come first.
    busy.sort_by(|one, other| other.used.total_cmp(&one.used));
    for load in busy {
        let middle = load.hash_start + (load.hash_end - load.hash_start) / 2 + 1;
        // A shard of one place is the load of one key, which nothing can split.
        if count < max && load.hash_start < load.hash_end {
            changes.push(Change::Split(load.shard, middle));
            count += 1;
        }
    }
    if !changes.is_empty() {
        return changes;
    }
    // Fewer than there must be: they were made before that was so.
    for load in loads.iter().take(min.saturating_sub(count)) {
        let middle = load.hash_start + (load.hash_end - load.hash_start) / 2 + 1;
        changes.push(Change::Split(load.shard, middle));
    }
    let mut rest = loads;
    while let [one, other, ..] = rest {
        let is_quiet = QUIET_FOR <= one.quiet_for && QUIET_FOR <= other.quiet_for;
        if min < count && is_quiet {
            changes.push(Change::Merge(one.shard, other.shard));
            count -= 1;
            rest = rest.get(2..).unwrap_or_default();
        } else {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    changes
}

/// Makes loads of what shards have taken in all.
#[derive(Debug, Default)]
struct Meter {
    shards: BTreeMap<ShardId, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Duration,
    records: u64,
    bytes: u64,
    quiet_since: Duration,
}

impl Meter {
    /// Notes what the shards have taken until `now`; returns the loads of those that were seen
    /// before, if all open ones were.
    fn note(&mut self, shards: &[ShardInfo], now: Duration) -> Option<Vec<Load>> {
        let mut loads = Vec::with_capacity(shards.len());
        let mut seen = BTreeMap::new();
        for shard in shards.iter().filter(|it| it.closed_ms.is_none()) {
            let (records, bytes) = (shard.next.0, shard.written_bytes);
            let before = self.shards.get(&shard.id).copied();
            let mut noted = Seen { at: now, records, bytes, quiet_since: now };
            if let Some(before) = before {
                let used = used_of(&before, &noted);
                let is_quiet = used < QUIET_BELOW;
                noted.quiet_since = if is_quiet { before.quiet_since } else { now };
                loads.push(Load {
                    shard: shard.id,
                    hash_start: shard.hash_start,
                    hash_end: shard.hash_end,
                    used,
                    quiet_for: now.saturating_sub(noted.quiet_since),
                });
            }
            seen.insert(shard.id, noted);
        }
        let is_whole = loads.len() == seen.len();
        self.shards = seen;
        loads.sort_unstable_by_key(|it| it.hash_start);
        is_whole.then_some(loads)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn used_of(before: &Seen, now: &Seen) -> f64 {
    let seconds = now.at.saturating_sub(before.at).as_secs_f64().max(0.001);
    let records = now.records.saturating_sub(before.records) as f64 / seconds;
    let bytes = now.bytes.saturating_sub(before.bytes) as f64 / seconds;
    (records / SHARD_RECORDS).max(bytes / SHARD_BYTES)
}

/// The meters of all on-demand streams.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    meters: BTreeMap<StreamId, Meter>,
}

impl Balance {
    /// Looks at every on-demand stream and changes its shards where its load asks for it. It waits
    /// for the disk.
    pub(crate) fn look(&mut self, inlet: &Inlet) {
        let now = inlet.clock().elapsed();
        let mut meters = BTreeMap::new();
        for stream in inlet.streams() {
            let Ok(info) = inlet.journal().stream_info(stream.id) else { continue };
            if !info.settings.on_demand {
                continue;
            }
            let mut meter = self.meters.remove(&stream.id).unwrap_or_default();
            let loads = meter.note(&info.shards, now);
            meters.insert(stream.id, meter);
            let Some(loads) = loads else { continue };
            let min = crate::kinesis::on_demand_min(inlet, &stream);
            let max = (limits::ON_DEMAND_SHARDS_MAX as usize).max(min);
            let changes = decide(&loads, min, max);
            if !changes.is_empty() {
                change(inlet, &stream, &changes);
            }
        }
        self.meters = meters;
    }
}

fn change(inlet: &Inlet, stream: &Arc<Stream>, changes: &[Change]) {
    let all = |draft: &mut Draft<'_>| {
        for change in changes {
            match *change {
                Change::Split(shard, at) => drop(draft.split(shard, at)?),
                Change::Merge(one, other) => drop(draft.merge(one, other)?),
            }
        }
        Ok(draft.open().len())
    };
    let name = &stream.name;
    match inlet.reshard(stream, all) {
        Ok(shards) => tracing::info!(stream = %name, shards, "the shards follow the load"),
        Err(error) => tracing::warn!(stream = %name, %error, "the shards cannot follow the load"),
    }
}

/// Keeps the shards of on-demand streams as their load asks for, until it is stopped.
pub fn keep_balanced(inlet: Inlet) -> Running {
    Running::start("on-demand", async move |mut stop| {
        let mut balance = Balance::default();
        while !stop.within(inlet.clock().sleep(LOOK_EVERY)).await {
            let of = inlet.clone();
            let looked = tokio::task::spawn_blocking(move || {
                balance.look(&of);
                balance
            });
            balance = looked.await.unwrap_or_default();
        }
    })
}

#[cfg(test)]
mod tests;
