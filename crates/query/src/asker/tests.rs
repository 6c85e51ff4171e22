use std::sync::Arc;
use std::time::Duration;

use base::Kind;

use super::{AskLimits, AskRights, Asker};
use crate::sample;

fn office(limits: AskLimits) -> Arc<Asker> {
    Arc::new(Asker::new("office", AskRights::default(), limits))
}

async fn ask(asker: &Arc<Asker>, sql: &str) -> Result<usize, crate::SqlError> {
    let engine = sample::engine();
    let batches = engine.ask_as(asker, sql).await?.all(1_000_000).await?;
    Ok(batches.iter().map(arrow::array::RecordBatch::num_rows).sum())
}

#[tokio::test]
async fn so_many_statements_run_at_a_time() {
    let asker = office(AskLimits { at_once: Some(1), ..AskLimits::default() });
    let engine = sample::engine();
    let first = engine.ask_as(&asker, "SELECT order_id FROM orders").await.unwrap();
    let error = engine.ask_as(&asker, "SELECT 1 AS one").await.err().unwrap();
    assert_eq!((error.sqlstate, error.kind), ("53400", Kind::Throttled));
    assert_eq!(error.message, "the key `office` may run 1 statement at a time, and so many run");
    assert!(ask(&office(AskLimits::default()), "SELECT 1 AS one").await.is_ok());
    drop(first);
    assert!(ask(&asker, "SELECT 1 AS one").await.is_ok());
}

#[tokio::test]
async fn rows_and_bytes_that_are_read_are_counted() {
    let rows = office(AskLimits { rows_read: Some(100_000), ..AskLimits::default() });
    let few = "SELECT count(*) AS n FROM generate_series(1, 90000)";
    let many = "SELECT count(*) AS n FROM generate_series(1, 110000)";
    let within = "SELECT (SELECT count(*) FROM generate_series(1, 110000)) AS n";
    let joined = "SELECT count(*) AS n FROM generate_series(1, 60000) a \
                  JOIN generate_series(1, 60000) b ON a.value = b.value";
    assert_eq!(ask(&rows, few).await.unwrap(), 1);
    for sql in [many, within, joined] {
        let error = ask(&rows, sql).await.unwrap_err();
        let told = "the key `office` may read 100000 rows in a statement, and this one reads more";
        assert_eq!((error.sqlstate, error.message.as_str()), ("53400", told), "{sql}");
    }
    let bytes = office(AskLimits { bytes_read: Some(100_000), ..AskLimits::default() });
    assert!(ask(&bytes, "SELECT max(value) AS n FROM generate_series(1, 10000)").await.is_ok());
    let error = ask(&bytes, "SELECT max(value) AS n FROM generate_series(1, 20000)").await;
    assert!(error.unwrap_err().message.contains("may read 100 kB in a statement"));
    // Rows that a LIMIT leaves out are not read.
    let first = "SELECT value FROM generate_series(1, 100000000) LIMIT 5";
    assert_eq!(ask(&rows, first).await.unwrap(), 5);
}

/// Waits until the tasks of a statement that ended have let go of their memory.
async fn freed(asker: &Asker) {
    let mut tries = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..100 {
        tries.tick().await;
        if asker.memory_used() == 0 {
            return;
        }
    }
    panic!("{} bytes are never given back", asker.memory_used());
}

#[tokio::test]
async fn memory_is_bounded_and_given_back() {
    let asker = office(AskLimits { memory_bytes: Some(1 << 20), ..AskLimits::default() });
    let big = "SELECT count(*) AS n FROM generate_series(1, 1000000) a \
               JOIN generate_series(1, 1000000) b ON a.value = b.value";
    let error = ask(&asker, big).await.unwrap_err();
    assert_eq!((error.sqlstate, error.kind), ("53200", Kind::Throttled), "{error}");
    assert!(error.message.starts_with("the key `office` may use 1.0 MB of memory"), "{error}");
    freed(&asker).await;
    let small =
        "SELECT count(*) AS n FROM (SELECT DISTINCT value % 10 AS v FROM generate_series(1, 1000))";
    assert_eq!(ask(&asker, small).await.unwrap(), 1);
    freed(&asker).await;
}

#[tokio::test]
async fn a_statement_ends_after_its_time() {
    let long =
        "SELECT count(*) AS n FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b";
    let limits = AskLimits { duration: Some(Duration::from_millis(100)), ..AskLimits::default() };
    let error = ask(&office(limits), long).await.unwrap_err();
    assert_eq!(error.sqlstate, "57014");
    let told = "the key `office` may ask for 100 ms at a time; the statement was cancelled";
    assert_eq!(error.message, told);
}

#[test]
fn rights_are_told_with_the_fix() {
    let asker = office(AskLimits::default());
    let error = asker.check_write().unwrap_err();
    assert_eq!(error.sqlstate, "42501");
    assert_eq!(
        error.to_string(),
        "the key `office` may not write files; add \"write\" to `may` of [project.keys.office]"
    );
    assert!(asker.check_manage().is_err());
    assert!(Asker::unlimited("mainstem").check_manage().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_gives_its_memory_back() {
    let limits =
        AskLimits { at_once: Some(1), memory_bytes: Some(1 << 30), ..AskLimits::default() };
    let (asker, engine) = (office(limits), sample::engine());
    let long = "SELECT count(*) AS n FROM generate_series(1, 1000000) a \
                JOIN generate_series(1, 1000000000) b ON a.value = b.value";
    let mut answer = engine.ask_as(&asker, long).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(700), answer.next()).await;
    assert!(wait.is_err(), "it ended: {:?}", wait.map(|it| it.map(|it| it.is_ok())));
    assert!(0 < asker.memory_used());
    drop(answer);
    freed(&asker).await;
    assert!(engine.ask_as(&asker, "SELECT 1 AS one").await.is_ok());
}
