use std::time::Duration;

use base::{SequenceNumber, ShardId};
use journal::StreamSettings;
use proptest::prelude::*;

use super::{Balance, Change, Load, Meter, QUIET_FOR, decide};
use crate::tests::Fixture;
use crate::{Incoming, Intake};

fn load(index: u32, of: u32, used: f64, quiet_s: u64) -> Load {
    let width = u128::MAX / u128::from(of);
    Load {
        shard: ShardId(index),
        hash_start: u128::from(index) * width,
        hash_end: u128::from(index + 1) * width - 1,
        used,
        quiet_for: Duration::from_secs(quiet_s),
    }
}

fn loads(used: &[f64], quiet_s: u64) -> Vec<Load> {
    let of = used.len() as u32;
    used.iter().zip(0..).map(|(used, index)| load(index, of, *used, quiet_s)).collect()
}

#[test]
fn busy_shards_are_split_in_the_middle_and_the_busiest_first() {
    let busy = loads(&[0.2, 0.6, 3.0, 0.5], 0);
    let changes = decide(&busy, 4, 200);
    assert_eq!(changes.len(), 2);
    let Change::Split(first, at) = changes[0] else { panic!("{changes:?}") };
    assert_eq!(first, ShardId(2));
    assert!((at - busy[2].hash_start).abs_diff(busy[2].hash_end - at + 1) <= 1);
    assert_eq!(decide(&busy, 4, 5), [changes[0]], "no more than there may be");
    assert_eq!(decide(&busy, 4, 4), []);
    let one_key = Load { hash_end: busy[2].hash_start, ..busy[2] };
    assert_eq!(decide(&[one_key], 1, 200), []);
}

#[test]
fn quiet_neighbours_are_merged_after_a_while_and_never_below_the_least() {
    let pair = |one, other| Change::Merge(ShardId(one), ShardId(other));
    let quiet = QUIET_FOR.as_secs();
    assert_eq!(
        decide(&loads(&[0.0; 8], quiet), 4, 200),
        [pair(0, 1), pair(2, 3), pair(4, 5), pair(6, 7)]
    );
    assert_eq!(decide(&loads(&[0.0; 6], quiet), 4, 200), [pair(0, 1), pair(2, 3)]);
    assert_eq!(decide(&loads(&[0.0; 4], quiet), 4, 200), []);
    assert_eq!(decide(&loads(&[0.0; 8], quiet - 1), 4, 200), []);
    let mut mixed = loads(&[0.0; 6], quiet);
    mixed[1].quiet_for = Duration::ZERO;
    assert_eq!(decide(&mixed, 1, 200), [pair(2, 3), pair(4, 5)]);
    assert_eq!(decide(&loads(&[0.0; 2], 0), 4, 200).len(), 2, "up to the least");
}

proptest! {
    #[test]
    fn the_number_of_shards_stays_within_its_bounds(
        used in prop::collection::vec(0.0..4.0, 4..40),
        quiet_s in prop::sample::select(vec![0, 5_000]),
        max in 4_usize..40,
    ) {
        let loads = loads(&used, quiet_s);
        let mut count = loads.len();
        let mut touched = std::collections::BTreeSet::new();
        for change in decide(&loads, 4, max) {
            match change {
                Change::Split(shard, at) => {
                    let load = &loads[shard.0 as usize];
                    prop_assert!(load.hash_start < at && at <= load.hash_end);
                    prop_assert!(touched.insert(shard));
                    count += 1;
                }
                Change::Merge(one, other) => {
                    prop_assert_eq!(one.0 + 1, other.0);
                    prop_assert!(touched.insert(one) && touched.insert(other));
                    count -= 1;
                }
            }
        }
        prop_assert!(4 <= count && count <= max.max(loads.len()));
    }
}

#[test]
fn a_rate_is_what_came_in_between_two_looks() {
    let fixture = Fixture::new();
    let stream = fixture.inlet.stream("orders").unwrap();
    let mut shards = fixture.inlet.journal().stream_info(stream.id).unwrap().shards;
    let mut meter = Meter::default();
    assert_eq!(meter.note(&shards, Duration::from_secs(10)), None);
    shards[1].next = SequenceNumber(5_000);
    shards[2].written_bytes += 21 << 20;
    let loads = meter.note(&shards, Duration::from_secs(20)).unwrap();
    let used: Vec<f64> = loads.iter().map(|it| it.used).collect();
    assert_eq!(used, [0.0, 0.5, 2.1, 0.0]);
    let quiet: Vec<u64> = loads.iter().map(|it| it.quiet_for.as_secs()).collect();
    assert_eq!(quiet, [10, 0, 0, 10]);
    // A shard that is new waits for its second look.
    shards[3].id = ShardId(9);
    assert_eq!(meter.note(&shards, Duration::from_secs(30)), None);
}

/// A quiet night, a sale, and back: the numbers follow without a setting, and nothing is lost.
#[tokio::test]
async fn the_shards_follow_a_sale_and_come_back() {
    let fixture = Fixture::new();
    let inlet = &fixture.inlet;
    let name = base::Name::new("clicks").unwrap();
    let settings = StreamSettings { shards: 4, on_demand: true, ..StreamSettings::default() };
    let doors = vec!["http".to_owned()];
    inlet
        .declare(Intake {
            name,
            settings,
            doors,
            key: None,
            files: None,
            limit: crate::Rate::default(),
        })
        .unwrap();
    let mut balance = Balance::default();
    let mut sent = 0;
    let mut night = async |balance: &mut Balance, rounds: usize, per_second: usize| {
        for _ in 0..rounds {
            let keys: Vec<String> = (0..per_second * 10).map(|it| format!("k{it}")).collect();
            for keys in keys.chunks(4_000) {
                let records: Vec<Incoming<'_>> =
                    keys.iter().map(|key| Incoming { key: Some(key), bytes: b"x" }).collect();
                sent += inlet.accept("clicks", "http", &records, None).await.unwrap().records;
            }
            fixture.clock.advance(Duration::from_secs(10));
            balance.look(inlet);
        }
        let id = inlet.journal().stream("clicks").unwrap();
        inlet.journal().stream_info(id).unwrap().open_shards().count()
    };
    assert_eq!(night(&mut balance, 5, 10).await, 4);
    // 5,000 a second fill ten shards to a half.
    let at_the_sale = night(&mut balance, 8, 5_000).await;
    assert!((10..=32).contains(&at_the_sale), "{at_the_sale}");
    assert_eq!(night(&mut balance, 4 * 100, 1).await, 4);
    let id = inlet.journal().stream("clicks").unwrap();
    assert_eq!(inlet.journal().stream_info(id).unwrap().received, sent);
}
