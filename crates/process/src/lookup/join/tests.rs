//! The join gives what a hash join gives, whatever the keys, the condition and the times.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::prelude::SessionContext;

use super::{JoinLookups, LookupJoinExec};
use crate::lookup::index::{LookupRows, Validity};
use crate::pipe::{self, Pipe};
use crate::session;
use crate::slot::{Slot, SlotTable};

const QUERIES: &[&str] = &[
    "SELECT r.id, l.note FROM r JOIN l ON l.name = r.name",
    "SELECT r.id, l.note, l.k FROM r LEFT JOIN l ON l.name = r.name AND l.k = r.k",
    "SELECT r.id, l.note FROM r LEFT JOIN l ON l.k = r.k AND l.note > r.id",
    "SELECT r.id FROM r WHERE EXISTS (SELECT 1 FROM l WHERE l.k = r.k AND l.note <> r.id)",
    "SELECT r.id FROM r WHERE NOT EXISTS (SELECT 1 FROM l WHERE l.k = r.k)",
    "SELECT r.id FROM r WHERE r.name IN (SELECT name FROM l WHERE note % 2 = 0)",
    "SELECT r.id, l.note FROM r LEFT JOIN l ON l.k + 1 = r.k",
    "SELECT r.id, l.note FROM r JOIN l ON upper(l.name) = r.name WHERE l.note < 50",
    "SELECT r.id, l.note, r.at, l.since FROM r LEFT JOIN l ON l.k = r.k AND r.at >= l.since AND r.at < l.until",
    "SELECT r.id, l.note FROM r JOIN l ON l.k = r.k WHERE l.until > r.at AND l.since <= r.at AND l.note > 20",
    "SELECT r.id, l.note FROM r JOIN l ON l.k = r.k AND r.at >= l.since AND r.at <= l.until",
    "SELECT r.id, l.note FROM r JOIN l ON l.k = r.k AND r.at < l.since",
    "SELECT count(*) AS n FROM r JOIN l ON l.k = r.k AND r.at + INTERVAL '1 second' >= l.since \
     AND r.at + INTERVAL '1 second' < l.until",
];

fn timestamps(values: Vec<Option<i64>>) -> ArrayRef {
    let values = TimestampMicrosecondArray::from(values);
    Arc::new(values.with_data_type(rows::schema::timestamp()))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn some<T>(random: &mut fastrand::Rng, value: T) -> Option<T> {
    (random.u8(..10) != 0).then_some(value)
}

/// Rows of which each key has some after each other, in any order.
fn lookup(random: &mut fastrand::Rng, rows: usize, has_times: bool) -> LookupRows {
    let time = rows::schema::timestamp;
    let schema = schema(&[
        ("k", DataType::Int64),
        ("name", DataType::Utf8View),
        ("note", DataType::Int64),
        ("since", time()),
        ("until", time()),
    ]);
    let mut next = [0_i64; 8];
    let mut parts = Vec::new();
    for _ in 0..rows {
        let key = random.usize(..8);
        let since = next[key] + random.i64(0..3);
        next[key] = since + random.i64(1..5);
        parts.push((key, since, next[key]));
    }
    random.shuffle(&mut parts);
    let keys: Vec<Option<i64>> =
        parts.iter().map(|it| some(random, i64::try_from(it.0).unwrap())).collect();
    let names: Vec<Option<String>> =
        parts.iter().map(|it| some(random, format!("A{}", it.0))).collect();
    let notes: Vec<i64> = parts.iter().map(|_| random.i64(..100)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys)),
        Arc::new(StringViewArray::from_iter(names)),
        Arc::new(Int64Array::from(notes)),
        timestamps(parts.iter().map(|it| Some(it.1)).collect()),
        timestamps(parts.iter().map(|it| Some(it.2)).collect()),
    ];
    let validity = has_times.then_some(Validity { from: 3, to: 4 });
    LookupRows::new(RecordBatch::try_new(schema, columns).unwrap(), validity)
}

fn probe(random: &mut fastrand::Rng, rows: usize) -> RecordBatch {
    let schema = schema(&[
        ("id", DataType::Int64),
        ("k", DataType::Int64),
        ("name", DataType::Utf8View),
        ("at", rows::schema::timestamp()),
    ]);
    let mut each = |of: &mut dyn FnMut(&mut fastrand::Rng) -> i64| -> Vec<Option<i64>> {
        (0..rows)
            .map(|_| {
                let value = of(random);
                some(random, value)
            })
            .collect()
    };
    let (keys, at) = (each(&mut |it| it.i64(..9)), each(&mut |it| it.i64(-2..40)));
    let names = each(&mut |it| it.i64(..9)).into_iter().map(|it| it.map(|it| format!("A{it}")));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap())),
        Arc::new(Int64Array::from(keys)),
        Arc::new(StringViewArray::from_iter(names)),
        timestamps(at),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Runs a query over batches, in a session with the rule or without it.
async fn run(
    session: &SessionContext,
    sql: &str,
    versions: &[Arc<LookupRows>],
    batches: &[RecordBatch],
    is_ours: bool,
) -> Vec<String> {
    let moving = Slot::moving(batches[0].schema());
    let still = Slot::still(versions[0].rows.schema());
    for (name, slot) in [("r", &moving), ("l", &still)] {
        session.deregister_table(name).unwrap();
        session.register_table(name, Arc::new(SlotTable(Arc::clone(slot)))).unwrap();
    }
    let physical = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    assert_eq!(pipe::find::<LookupJoinExec>(&physical).is_some(), is_ours, "{sql}");
    assert_eq!(pipe::find::<HashJoinExec>(&physical).is_none(), is_ours, "{sql}");
    let mut pipe = Pipe::new(Arc::clone(&physical), vec![moving], session.task_ctx());
    let mut lines = Vec::new();
    for (at, batch) in batches.iter().enumerate() {
        still.set_lookup(&versions[at % versions.len()]);
        if !is_ours || at % 2 == 0 {
            pipe.renew().unwrap();
        }
        let answer = pipe.run(0, batch.clone()).await.unwrap();
        let mut answer: Vec<String> = answer.iter().flat_map(rows::json::lines).collect();
        answer.sort();
        lines.extend(answer);
    }
    lines
}

/// Returns whether a query looks for the row of a moment, instead of at all rows of a key.
async fn asks_moment(sql: &str) -> bool {
    let session = session::for_ticks().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let (still, moving) = (lookup(&mut random, 4, true), probe(&mut random, 1));
    let slots = [("r", Slot::moving(moving.schema())), ("l", Slot::of_lookup(&Arc::new(still)))];
    for (name, slot) in slots {
        session.register_table(name, Arc::new(SlotTable(slot))).unwrap();
    }
    let physical = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let found = pipe::find::<LookupJoinExec>(&physical).unwrap();
    let join = found.downcast_ref::<LookupJoinExec>().unwrap();
    let built = join.side.built(session.task_ctx()).await.unwrap();
    join.joiner.moment(&join.side, &built).is_some()
}

#[tokio::test]
async fn a_condition_that_says_when_finds_the_row_of_that_moment() {
    let mut found = Vec::new();
    for sql in QUERIES {
        if asks_moment(sql).await {
            found.push(*sql);
        }
    }
    let both =
        |it: &&&str| it.contains("since") && it.contains("until") && !it.contains("<= l.until");
    assert_eq!(found, QUERIES.iter().filter(both).copied().collect::<Vec<_>>());
}

#[tokio::test]
async fn it_gives_what_a_hash_join_gives() {
    let ours = session::for_ticks().unwrap();
    let state = ours.state();
    let mut rules = state.physical_optimizers().to_vec();
    rules.retain(|it| !format!("{it:?}").contains(&format!("{JoinLookups:?}")));
    let state = SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rules(rules);
    let theirs = SessionContext::new_with_state(state.build());
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..12 {
        let size = [0, 1, 5, 60][round % 4];
        let has_times = round % 3 != 0;
        let mut version = || Arc::new(lookup(&mut random, size, has_times));
        let versions = [version(), version()];
        let batches: Vec<RecordBatch> =
            [1, 40, 0, 200].iter().map(|it| probe(&mut random, *it)).collect();
        for sql in QUERIES {
            let expected = run(&theirs, sql, &versions, &batches, false).await;
            let is = run(&ours, sql, &versions, &batches, true).await;
            assert_eq!(is, expected, "round {round}: {sql}");
        }
    }
}

#[test]
fn of_many_prices_of_one_key_one_is_looked_at() {
    let count = 100_000;
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![7; count]));
    let times = (0..i64::try_from(count).unwrap()).map(|it| Some(it * 10)).collect();
    let index = super::Index::new(vec![Arc::clone(&keys)], Some(&timestamps(times))).unwrap();
    let (hashes, _) = super::hashes(&[keys.slice(0, 1)]).unwrap();
    assert_eq!(index.candidates(hashes[0], None).len(), count);
    for (at, row) in
        [(-1, None), (0, Some(0)), (9, Some(0)), (10, Some(1)), (5_000_005, Some(99_999))]
    {
        assert_eq!(index.candidates(hashes[0], Some(at)), row.as_slice());
    }
}
