//! Streams, shards and counts.

use base::SequenceNumber;
use proptest::prelude::*;

use super::*;
use crate::tests::Fixture;

fn incoming<'a>(key: Option<&'a str>, bytes: &'a str) -> Incoming<'a> {
    Incoming { key, bytes: bytes.as_bytes() }
}

#[tokio::test]
async fn a_batch_is_sorted_into_shards() {
    let fixture = Fixture::new();
    let records: Vec<String> = (0..100).map(|it| format!("k{it}")).collect();
    let records: Vec<_> = records.iter().map(|it| incoming(Some(it), it)).collect();
    let accepted = fixture.inlet.accept("orders", "http", &records, None).await.unwrap();
    assert_eq!((accepted.records, accepted.repeated), (100, false));
    assert_eq!(accepted.parts.len(), 4);
    assert!(accepted.parts.iter().all(|it| it.first == SequenceNumber(0)));
    let journal = fixture.inlet.journal();
    let id = journal.stream("orders").unwrap();
    for (shard, records) in fixture.records("orders").iter().enumerate() {
        for (key, _) in records {
            let expected = journal.shard_of(id, journal::Key::Partition(key)).unwrap();
            assert_eq!(expected.0 as usize, shard, "the journal has another rule for `{key}`");
        }
    }
}

#[test]
fn a_hash_is_that_of_kinesis() {
    // The MD5 of the key, as one number.
    assert_eq!(hash_of("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
}

#[tokio::test]
async fn refusals_are_counted_and_leave_nothing() {
    let fixture = Fixture::new();
    let long = "k".repeat(limits::PARTITION_KEY_BYTES_MAX + 1);
    let records = [incoming(Some("a"), "1"), incoming(Some(&long), "2")];
    let refusal = fixture.inlet.accept("notes", "http", &records, None).await.unwrap_err();
    assert_eq!(refusal.to_string(), "the partition key of record 1 has 257 bytes, more than 256");
    let long = "i".repeat(limits::IDEMPOTENCY_KEY_BYTES_MAX + 1);
    let refusal = fixture.inlet.accept("notes", "http", &[], Some(&long)).await.unwrap_err();
    assert_eq!(refusal.kind(), base::Kind::Invalid);
    assert_eq!(fixture.count("notes"), 0);
    assert_eq!(fixture.refused(), 2);
}

#[tokio::test]
async fn a_stream_can_be_declared_anew_and_withdrawn() {
    let fixture = Fixture::new();
    let inlet = &fixture.inlet;
    inlet.accept("notes", "http", &[incoming(None, "1")], None).await.unwrap();
    let name = Name::new("notes").unwrap();
    let settings = StreamSettings::default();
    let doors = vec!["kinesis".to_owned()];
    inlet
        .declare(Intake { name, settings, doors, key: None, files: None, limit: Rate::default() })
        .unwrap();
    let refusal = inlet.accept("notes", "http", &[incoming(None, "2")], None).await.unwrap_err();
    assert!(matches!(refusal, Refusal::DoorClosed { .. }), "{refusal}");
    let counts = inlet.counts();
    let http = counts.iter().find(|it| it.stream == "notes" && it.door == "http").unwrap();
    assert_eq!((http.records, http.refused), (1, 1), "counting goes on");
    inlet.withdraw("notes");
    let refusal = inlet.accept("notes", "kinesis", &[], None).await.unwrap_err();
    assert!(matches!(refusal, Refusal::NoStream { .. }), "{refusal}");
    assert_eq!(fixture.count("notes"), 1, "what was taken stays");
}

#[tokio::test]
async fn a_key_that_is_too_long_to_keep_still_decides_the_shard() {
    let fixture = Fixture::new();
    let customer = "é".repeat(200);
    let record = format!(r#"{{"customer":"{customer}"}}"#);
    for _ in 0..8 {
        fixture.inlet.accept("orders", "http", &[incoming(None, &record)], None).await.unwrap();
    }
    let used: Vec<_> = fixture.records("orders").into_iter().filter(|it| !it.is_empty()).collect();
    assert_eq!(used.len(), 1);
    assert_eq!(used[0][0].0, "é".repeat(128));
}

#[tokio::test]
async fn records_whose_shard_was_split_meanwhile_are_routed_again_in_order() {
    let fixture = Fixture::new();
    let inlet = &fixture.inlet;
    let mut batch = inlet.batch("orders", "http", 1_000).unwrap();
    let long = "é".repeat(200);
    for n in 0..300 {
        let text = format!("{n:03}");
        match n % 4 {
            0 => batch.push(Some(&format!("k{}", n % 16)), text.as_bytes()).unwrap(),
            1 => batch.push_hashed("hashed", u128::MAX - n, text.as_bytes()).unwrap(),
            2 => batch.push(None, text.as_bytes()).unwrap(),
            _ => {
                let record = format!("{{\"customer\":\"{long}\",\"n\":\"{text}\"}}");
                batch.push(None, record.as_bytes()).unwrap();
            }
        }
    }
    let stream = inlet.stream("orders").unwrap();
    inlet.reshard(&stream, |draft| draft.scale_to(7)).unwrap();
    let accepted = inlet.write(&mut batch, None).await.unwrap();
    assert_eq!(accepted.records, 300);
    let journal = inlet.journal();
    let info = journal.stream_info(stream.id).unwrap();
    assert!(accepted.parts.iter().all(|it| info.shard(it.shard).unwrap().closed_ms.is_none()));
    assert_eq!(batch.used_slots().len(), accepted.parts.len());
    let mut records = 0;
    for (shard, found) in info.shards.iter().zip(fixture.records("orders")) {
        let mut before: BTreeMap<&str, &str> = Default::default();
        for (key, text) in &found {
            let key_of = |key| journal.shard_of(stream.id, key).unwrap();
            let expected = match key.as_str() {
                "" => shard.id,
                "hashed" => key_of(journal::Key::Hash(u128::MAX)),
                key if key.starts_with('k') => key_of(journal::Key::Partition(key)),
                _ => key_of(journal::Key::Hash(hash_of(&long))),
            };
            assert_eq!(shard.id, expected, "{key}");
            assert!(before.insert(key, text).is_none_or(|it| it < text.as_str()), "{key} {text}");
            records += 1;
        }
    }
    assert_eq!(records, 300);
    assert_eq!(inlet.counts().iter().map(|it| it.records).sum::<u64>(), 300);
}

#[test]
fn every_hash_has_a_shard() {
    let fixture = Fixture::new();
    let stream = fixture.inlet.stream("orders").unwrap();
    let journal = fixture.inlet.journal();
    proptest!(|(hash: u128)| {
        let shard = stream.shard_at(stream.slot_of(hash));
        prop_assert_eq!(shard, journal.shard_of(stream.id, journal::Key::Hash(hash)).unwrap());
    });
    assert_eq!(stream.shard_at(stream.slot_of(0)).0, 0);
    assert_eq!(stream.shard_at(stream.slot_of(u128::MAX)).0, 3);
}

#[tokio::test]
async fn a_limit_lets_in_the_first_that_fit_and_what_is_not_written_costs_nothing() {
    let fixture = Fixture::new();
    let inlet = &fixture.inlet;
    let (name, settings) = (Name::new("limited").unwrap(), StreamSettings::default());
    let (doors, limit) = (vec!["http".to_owned()], Rate { records: Some(3), bytes: None });
    inlet.declare(Intake { name, settings, doors, key: None, files: None, limit }).unwrap();
    let one = Cost { records: 1, bytes: 1 };
    let begin = || inlet.batch_of_each("limited", "http", 10).unwrap();
    for _ in 0..2 {
        let mut batch = begin();
        let let_in: Vec<bool> = (0..5).map(|_| batch.admit(one).is_ok()).collect();
        assert_eq!(let_in, [true, true, true, false, false]);
    }
    let mut batch = begin();
    // One for which there is no room shuts out those behind it, also smaller ones.
    assert!(batch.admit(Cost { records: 2, bytes: 1 }).is_ok());
    assert!(batch.admit(Cost { records: 2, bytes: 1 }).is_err());
    assert!(batch.admit(one).is_err());
    batch.push(None, b"a").unwrap();
    batch.push(None, b"b").unwrap();
    inlet.write(&mut batch, None).await.unwrap();
    drop(batch);
    let mut batch = begin();
    assert_eq!((0..5).filter(|_| batch.admit(one).is_ok()).count(), 1, "two are paid for");
    assert_eq!(fixture.count("limited"), 2);
}
