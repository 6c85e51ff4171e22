//! Shards that are split and merged under a flow that reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{SequenceNumber, ShardId};
use journal::{Append, Key, Records};

use super::{World, ask, assert_conserved};
use crate::flow::Flow;

const FILES: &[(&str, &str)] = &[(
    "mainstem.toml",
    r#"
[stream.taps]
time = "ts"
[stream.taps.columns]
n    = "int not null"
key  = "text not null"
ts   = "timestamp not null"

[table.by_minute]
late = "dead"
sql  = """
SELECT tumble(ts, '1 minute') AS minute, count(*) AS taps, sum(n) AS total FROM taps GROUP BY minute
"""
"#,
)];

struct Taps {
    random: fastrand::Rng,
    sent: u32,
}

impl Taps {
    /// Sends records whose event time goes on with their number, each to the shard of its key now.
    async fn send(&mut self, world: &World, count: u32) {
        let id = world.journal.stream("taps").unwrap();
        let mut parts: BTreeMap<ShardId, Records> = BTreeMap::new();
        for n in self.sent..self.sent + count {
            let key = format!("k{}", self.random.u32(0..20));
            let (minute, second) = (n / 60 % 60, n % 60);
            let padding = " ".repeat(1_000);
            let line = format!(
                r#"{{"n":{n},"key":"{key}",{padding}"ts":"2026-01-05T10:{minute:02}:{second:02}Z"}}"#
            );
            let shard = world.journal.shard_of(id, Key::Partition(&key)).unwrap();
            parts.entry(shard).or_default().push(&key, line.as_bytes()).unwrap();
        }
        self.sent += count;
        let parts = parts.into_iter().collect();
        let append = Append { stream: id, parts, idempotency: None };
        world.journal.append(append).await.unwrap();
    }

    async fn send_and_reshard(&mut self, world: &World) {
        for _ in 0..self.random.u32(1..5) {
            let count = self.random.u32(1..90);
            self.send(world, count).await;
            if self.random.bool() {
                self.reshard(world);
            }
        }
    }

    fn reshard(&mut self, world: &World) {
        let id = world.journal.stream("taps").unwrap();
        let random = &mut self.random;
        let changed = world.journal.reshard(id, |draft| {
            let open = draft.open();
            let pick = random.usize(0..open.len());
            let shard = open[pick];
            match random.u32(0..5) {
                0..2 if open.len() < 6 => {
                    let half = (shard.hash_end - shard.hash_start) / 2;
                    draft.split(shard.id, shard.hash_start + half + 1).map(drop)
                }
                2..4 if pick + 1 < open.len() => draft.merge(shard.id, open[pick + 1].id).map(drop),
                _ => draft.scale_to(random.u32(1..5)),
            }
        });
        changed.unwrap();
    }
}

/// Fails if a shard was read before all that the shards before it in its family have.
fn assert_parents_first(world: &World, flow: &Flow) {
    let id = world.journal.stream("taps").unwrap();
    let info = world.journal.stream_info(id).unwrap();
    let stats = flow.stats();
    let positions = &stats.streams.values().next().unwrap().positions;
    let at = |shard: ShardId| positions.get(&shard).copied().unwrap_or_default();
    for (shard, is_readable) in info.shards.iter().zip(info.readable(at)) {
        assert!(is_readable || at(shard.id) == SequenceNumber(0), "{}: {info:?}", shard.id);
    }
}

#[tokio::test]
async fn parents_are_read_to_their_end_before_their_children_over_crashes() {
    for seed in 0..12 {
        println!("SEED={seed}");
        let mut world = World::with_shards(FILES, 2, seed).await;
        let mut flow = world.open().await;
        let mut taps = Taps { random: fastrand::Rng::with_seed(seed), sent: 0 };
        for _ in 0..12 {
            taps.send_and_reshard(&world).await;
            for _ in 0..taps.random.u32(0..3) {
                flow.tick().await.unwrap();
                assert_parents_first(&world, &flow);
            }
            match taps.random.u32(0..6) {
                0 => {
                    drop(flow);
                    world.crash();
                    flow = world.open().await;
                }
                1..3 => {
                    flow.flush().await.unwrap();
                    world.journal.maintain().unwrap();
                }
                _ => {}
            }
        }
        flow.tick_all().await.unwrap();
        assert_parents_first(&world, &flow);
        assert_conserved(&flow);
        let view = flow.view();
        let sent = u64::from(taps.sent);
        let all =
            ask(&view, "SELECT count(*) AS n, count(DISTINCT n) AS m, sum(n) AS s FROM taps").await;
        assert_eq!(all, format!("{{\"n\":{sent},\"m\":{sent},\"s\":{}}}\n", sent * (sent - 1) / 2));
        // Each key in order: what came later in a shard, or in a child of it, has a larger number.
        let ordered = "SELECT count(*) AS wrong FROM (SELECT n, lag(n) OVER (PARTITION BY key ORDER BY _shard, _sequence) AS before FROM taps) WHERE n < before";
        let of_child_ids = ask(&view, ordered).await;
        assert_eq!(of_child_ids, "{\"wrong\":0}\n");
        let shown = ask(&view, "SELECT minute, taps, total FROM by_minute").await;
        let batch = "SELECT tumble(ts, '1 minute') AS minute, count(*) AS taps, sum(n) AS total FROM taps GROUP BY minute";
        assert_eq!(ask(&view, "SELECT count(*) AS n FROM by_minute__dead").await, "{\"n\":0}\n");
        assert_eq!(shown, ask(&view, batch).await);
    }
}

#[tokio::test]
async fn a_shard_that_was_split_holds_no_window() {
    let world = World::with_shards(FILES, 1, 1).await;
    let mut flow = world.open().await;
    let mut taps = Taps { random: fastrand::Rng::with_seed(1), sent: 0 };
    taps.send(&world, 50).await;
    flow.tick_all().await.unwrap();
    let id = world.journal.stream("taps").unwrap();
    world.journal.reshard(id, |draft| draft.split(ShardId(0), 1 << 127)).unwrap();
    // Both children go on; the parent, heard a moment ago, stays at the first minute.
    taps.send(&world, 200).await;
    flow.tick_all().await.unwrap();
    let finals = "SELECT count(*) AS n FROM by_minute WHERE _final";
    assert_eq!(ask(&flow.view(), finals).await, "{\"n\":4}\n");
    // Once its records are gone, the parent is forgotten, and so is its event time.
    flow.flush().await.unwrap();
    world.pass(Duration::from_secs(2 * 24 * 3_600));
    world.journal.maintain().unwrap();
    taps.send(&world, 60).await;
    flow.tick_all().await.unwrap();
    flow.flush().await.unwrap();
    world.journal.maintain().unwrap();
    world.journal.maintain().unwrap();
    let info = world.journal.stream_info(id).unwrap();
    let ids: Vec<u32> = info.shards.iter().map(|it| it.id.0).collect();
    assert_eq!(ids, [1, 2]);
    taps.send(&world, 60).await;
    flow.tick_all().await.unwrap();
    assert_conserved(&flow);
    assert_eq!(flow.stats().streams.values().next().unwrap().received, 370);
}
