//! Tests of `past`: which versions are asked for, and what becomes of the statement around them.

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use base::Clock;
use base::time::ManualClock;
use datafusion::catalog::MemTable;
use expect_test::{Expect, expect};
use parking_lot::Mutex;

use super::*;
use crate::catalog::Catalog;
use crate::context::ContextSettings;
use crate::engine::Engine;

/// A table of which each version has as many rows as its number says; versions before 3 are gone.
#[derive(Default)]
struct Counted {
    asked: Arc<Mutex<Vec<(String, AsOf)>>>,
}

fn rows(count: i64) -> Arc<dyn TableProvider> {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let open: ArrayRef = Arc::new((0..count).map(|it| Some(it % 2 == 0)).collect::<BooleanArray>());
    let batch = RecordBatch::try_from_iter([("n", numbers), ("_final", open)]).unwrap();
    Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())
}

#[async_trait]
impl Past for Counted {
    async fn table(&self, name: &str, asked: AsOf) -> Result<Arc<dyn TableProvider>, SqlError> {
        self.asked.lock().push((name.to_owned(), asked));
        match asked {
            AsOf::Version(version @ 3..) => Ok(rows(i64::try_from(version).unwrap())),
            AsOf::Version(_) => Err(SqlError::invalid("72000", "gone").with_help("ask for 3")),
            AsOf::Moment(_) => Ok(rows(5)),
        }
    }
}

impl Catalog for Counted {
    fn snapshot(&self) -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        snapshot.tables.insert("counted".to_owned(), rows(9));
        snapshot.tables.insert("other".to_owned(), rows(2));
        snapshot.system.insert("streams".to_owned(), rows(1));
        snapshot.past = Some(Arc::new(Counted { asked: Arc::clone(&self.asked) }));
        Arc::new(snapshot)
    }
}

/// Returns the answer, and what was asked of the past.
async fn ask(sql: &str) -> (String, Vec<(String, AsOf)>) {
    let counted = Counted::default();
    let asked = Arc::clone(&counted.asked);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_767_607_200_000));
    let settings = ContextSettings { partitions: 1, ..ContextSettings::default() };
    let engine = Engine::new(&settings, Arc::new(counted), clock).unwrap();
    let answer = async { engine.ask(sql).await?.all(1_000).await };
    let text = match answer.await {
        Ok(batches) => format!("{}\n", pretty_format_batches(&batches).unwrap()),
        Err(error) => {
            let place = error.range.clone().and_then(|it| sql.get(it)).unwrap_or_default();
            format!("{} at `{place}`: {error}\n", error.sqlstate)
        }
    };
    let asked = asked.lock().clone();
    (text, asked)
}

async fn check(sql: &str, expected: Expect) {
    expected.assert_eq(&ask(sql).await.0);
}

/// Returns the one number of the answer.
async fn number(sql: &str) -> i64 {
    let text = ask(sql).await.0;
    let cell = text.lines().nth(3).unwrap_or_else(|| panic!("{sql}\n{text}"));
    cell.trim_matches(['|', ' ']).parse().unwrap_or_else(|_| panic!("{sql}\n{text}"))
}

#[tokio::test]
async fn a_version_stands_behind_the_table() {
    for (sql, count) in [
        ("SELECT count(*) FROM counted", 9),
        ("SELECT count(*) FROM counted VERSION AS OF 4", 4),
        ("SELECT count(*) FROM public.counted version as of 4 AS c WHERE c.n >= 0", 4),
        ("SELECT count(*) FROM \"counted\" VERSION AS OF 4 c WHERE c.n >= 0", 4),
        ("SELECT count(counted.n) FROM counted VERSION AS OF 6", 6),
        ("SELECT count(*) FROM counted FOR SYSTEM_TIME AS OF '2026-01-05T09:00:00Z'", 5),
        ("SELECT count(*) FROM counted TIMESTAMP AS OF '2026-01-05 09:00:00' t", 5),
        (
            "SELECT count(*) FROM counted FOR SYSTEM_TIME AS OF now() - INTERVAL '1 hour' WHERE n > 0",
            4,
        ),
        ("SELECT count(*) FROM counted VERSION AS OF 7 a JOIN counted b ON a.n = b.n", 7),
        ("SELECT count(*) FROM counted VERSION AS OF 7 JOIN other ON counted.n = other.n", 2),
        (
            "SELECT count(*) FROM (SELECT n FROM counted EXCEPT SELECT n FROM counted VERSION AS OF 6) d",
            3,
        ),
        ("WITH w AS (SELECT * FROM counted VERSION AS OF 8) SELECT count(*) FROM w", 8),
        ("SELECT count(*) FROM counted WHERE n IN (SELECT n FROM counted VERSION AS OF 3)", 3),
        ("SELECT count(*) FROM counted VERSION AS OF 4 WHERE _final", 2),
    ] {
        assert_eq!(number(sql).await, count, "{sql}");
    }
}

#[tokio::test]
async fn hidden_columns_stay_hidden() {
    check(
        "SELECT * FROM counted VERSION AS OF 3",
        expect![[r#"
            +---+
            | n |
            +---+
            | 0 |
            | 1 |
            | 2 |
            +---+
        "#]],
    )
    .await;
    check(
        "SELECT *, _final FROM counted VERSION AS OF 3 ORDER BY n DESC LIMIT 1",
        expect![[r#"
            +---+--------+
            | n | _final |
            +---+--------+
            | 2 | true   |
            +---+--------+
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_moment_is_what_sql_makes_of_it() {
    let day_us = 86_400_000_000;
    // 2026-01-05 00:00:00 UTC.
    let midnight_us = 1_767_571_200_000_000_i64;
    for (moment, micros) in [
        ("'2026-01-05'", midnight_us),
        ("DATE '2026-01-05' + INTERVAL '1 day'", midnight_us + day_us),
        ("'2026-01-05 01:00:00+01'", midnight_us),
        ("TIMESTAMP '2026-01-05 10:30:00'", midnight_us + 37_800_000_000),
        ("date_trunc('day', TIMESTAMP '2026-01-05 10:30:00')", midnight_us),
    ] {
        let sql = format!("SELECT 1 FROM counted FOR SYSTEM_TIME AS OF {moment}");
        let (answer, asked) = ask(&sql).await;
        assert_eq!(asked, [("counted".to_owned(), AsOf::Moment(micros))], "{sql}\n{answer}");
    }
}

#[tokio::test]
async fn names_that_look_like_it_are_names() {
    assert_eq!(number("SELECT count(at.n) FROM counted at").await, 9);
    assert_eq!(number("SELECT count(version.n) FROM counted version").await, 9);
    assert_eq!(number("SELECT count(before.n) FROM counted AS before").await, 9);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_at_its_place() {
    check(
        "SELECT n FROM counted VERSION AS OF 2",
        expect![[r#"
            72000 at `2`: gone; ask for 3
        "#]],
    )
    .await;
    check(
        "SELECT n FROM streams VERSION AS OF 2",
        expect![[r#"
            0A000 at `2`: `streams` has no earlier versions; the program's own tables have no versions
        "#]],
    )
    .await;
    check(
        "SELECT n FROM countd VERSION AS OF 2",
        expect![[r#"
            42P01 at `2`: table `countd` not found; did you mean `counted`?
        "#]],
    )
    .await;
    check(
        "WITH w AS (SELECT 1 AS n) SELECT n FROM w VERSION AS OF 2",
        expect![[r#"
            0A000 at `w`: `w` has no earlier versions; name a stored table of the project
        "#]],
    )
    .await;
    check(
        "SELECT n FROM counted FOR SYSTEM_TIME AS OF 'yesterday'",
        expect![[r#"
            22007 at `'yesterday'`: `'yesterday'` is no moment; write a time such as '2026-01-05 10:00:00', or now() - INTERVAL '1 hour'
        "#]],
    )
    .await;
    let asks = ask("SELECT n FROM counted FOR SYSTEM_TIME AS OF (SELECT max(n) FROM other)").await;
    assert!(asks.0.contains("the moment of `AS OF` asks no table"), "{}", asks.0);
}
