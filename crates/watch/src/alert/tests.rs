//! Rows come and go; what is told about them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray, TimestampMicrosecondArray};
use base::limits::{ALERT_KEYS_MAX, NOTICES_MAX};
use expect_test::expect;
use proptest::prelude::*;
use spec::{AlertOn, Spot, SqlText, Word};

use super::*;

const MINUTE_MS: u64 = 60_000;

fn word(text: &str) -> Word {
    Word { text: text.to_owned(), spot: Spot::outside("alert.toml", text) }
}

pub(crate) fn declared(key: &[&str], hold_ms: u64, remind_ms: Option<u64>) -> spec::Alert {
    spec::Alert {
        name: Name::new("sales_spike").unwrap(),
        spot: Spot::outside("alert.toml", ""),
        sql: SqlText::outside("alert.toml", "SELECT 1"),
        reads: Vec::new(),
        reads_beside: Vec::new(),
        key: key.iter().map(|it| word(it)).collect(),
        notify: vec![Name::new("oncall").unwrap()],
        title: Some(word("Spike in {region}: {revenue}")),
        title_columns: vec![word("region"), word("revenue")],
        hold: Span::from_millis(hold_ms),
        remind: remind_ms.map(Span::from_millis),
        on: AlertOn::Final,
        description: None,
        owner: None,
        tags: Vec::new(),
    }
}

/// Rows of region, window in minutes, revenue.
pub(crate) fn batch(rows: &[(&str, i64, f64)]) -> RecordBatch {
    let regions: StringViewArray = rows.iter().map(|it| Some(it.0)).collect();
    let minutes: TimestampMicrosecondArray =
        rows.iter().map(|it| Some(it.1 * 60_000_000)).collect();
    let revenues: Float64Array = rows.iter().map(|it| Some(it.2)).collect();
    RecordBatch::try_from_iter::<_, &str>(vec![
        ("region", Arc::new(regions) as ArrayRef),
        ("minute", Arc::new(minutes.with_timezone("UTC"))),
        ("revenue", Arc::new(revenues)),
    ])
    .unwrap()
}

pub(crate) fn alert(declared: &spec::Alert) -> Alert {
    Alert::new(declared, batch(&[]).schema_ref(), None).unwrap()
}

fn shown(notices: &[Notice]) -> Vec<String> {
    notices.iter().map(|it| format!("{} {} {}", it.at_ms, it.state.as_str(), it.title)).collect()
}

fn spike() -> Vec<RecordBatch> {
    vec![batch(&[("FR", 0, 12.5)])]
}

#[test]
fn a_row_fires_once_and_resolves_once() {
    let mut alert = alert(&declared(&["region"], 0, None));
    assert_eq!(shown(&alert.observe(&spike(), 5)), ["5 firing Spike in FR: 12.5"]);
    assert_eq!(alert.firing(), 1);
    assert!(alert.observe(&spike(), 6).is_empty());
    assert_eq!(shown(&alert.observe(&[], 7)), ["7 resolved Spike in FR: 12.5"]);
    assert!(alert.observe(&[], 8).is_empty());
    assert_eq!(alert.firing(), 0);
}

#[test]
fn a_notice_says_everything() {
    let mut alert = alert(&declared(&["region"], 0, None));
    let notices = alert.observe(&[batch(&[("F\"R", 29_455_800, 1.0 / 3.0)])], 1_767_348_000_000);
    expect![[r#"{"id":"346c31f3b57fffe8f8ce00af6134512e","alert":"sales_spike","state":"firing","title":"Spike in F\"R: 0.333","started":"2026-01-02T10:00:00Z","at":"2026-01-02T10:00:00Z","project":"shop","key":{"region":"F\"R"},"row":{"region":"F\"R","minute":"2026-01-02T10:00:00Z","revenue":0.3333333333333333}}"#]].assert_eq(&notices[0].to_json("shop"));
    expect![[r#"{"text":"*Firing*: Spike in F\"R: 0.333 (shop)"}"#]]
        .assert_eq(&notices[0].to_slack("shop"));
}

#[test]
fn nothing_is_told_before_for_is_over() {
    let mut alert = alert(&declared(&["region"], 5 * MINUTE_MS, None));
    assert!(alert.observe(&spike(), 0).is_empty());
    assert_eq!(alert.next_due_ms(), Some(5 * MINUTE_MS));
    assert!(alert.observe(&spike(), 5 * MINUTE_MS - 1).is_empty());
    assert_eq!(shown(&alert.observe(&spike(), 5 * MINUTE_MS)), ["300000 firing Spike in FR: 12.5"]);
    assert_eq!(alert.next_due_ms(), None, "without reminders there is nothing more to say");
}

#[test]
fn for_begins_anew_when_the_row_was_gone() {
    let mut alert = alert(&declared(&["region"], 5 * MINUTE_MS, None));
    alert.observe(&spike(), 0);
    assert!(alert.observe(&[], 4 * MINUTE_MS).is_empty(), "what was never told ends in silence");
    assert!(alert.observe(&spike(), 5 * MINUTE_MS).is_empty());
    assert!(alert.observe(&spike(), 9 * MINUTE_MS).is_empty());
    assert_eq!(alert.observe(&spike(), 10 * MINUTE_MS).len(), 1);
}

#[test]
fn time_alone_fires_and_reminds() {
    let mut alert = alert(&declared(&["region"], MINUTE_MS, Some(10 * MINUTE_MS)));
    alert.observe(&spike(), 0);
    assert_eq!(shown(&alert.elapse(MINUTE_MS)), ["60000 firing Spike in FR: 12.5"]);
    assert!(alert.elapse(10 * MINUTE_MS).is_empty());
    assert_eq!(shown(&alert.elapse(11 * MINUTE_MS)), ["660000 reminder Spike in FR: 12.5"]);
    // Down for a day: one reminder, not a hundred.
    assert_eq!(alert.elapse(24 * 60 * MINUTE_MS).len(), 1);
    assert!(alert.elapse(24 * 60 * MINUTE_MS + 1).is_empty());
    let ids: Vec<_> = alert.outbox().map(|(notice, _)| notice.id.clone()).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "each reminder is a notice of its own");
}

#[test]
fn a_clock_that_goes_back_tells_nothing() {
    let mut alert = alert(&declared(&["region"], MINUTE_MS, Some(MINUTE_MS)));
    alert.observe(&spike(), 10 * MINUTE_MS);
    assert!(alert.elapse(0).is_empty());
    alert.elapse(11 * MINUTE_MS);
    assert!(alert.elapse(MINUTE_MS).is_empty());
}

#[test]
fn each_key_has_a_life_of_its_own_and_no_key_is_one_alert() {
    let rows = [batch(&[("FR", 0, 1.0)]), batch(&[("DE", 0, 2.0), ("FR", 1, 3.0)])];
    let mut by_region = alert(&declared(&["region"], 0, None));
    let told = shown(&by_region.observe(&rows, 1));
    assert_eq!(told, ["1 firing Spike in DE: 2", "1 firing Spike in FR: 1"]);
    let told = shown(&by_region.observe(&[batch(&[("DE", 0, 2.0)])], 2));
    assert_eq!(told, ["2 resolved Spike in FR: 1"]);
    let mut whole = alert(&declared(&[], 0, None));
    assert_eq!(shown(&whole.observe(&rows, 1)), ["1 firing Spike in FR: 1"]);
}

#[test]
fn only_the_newest_window_of_a_key_counts() {
    let schema = batch(&[]).schema();
    let mut alert = Alert::new(&declared(&["region"], 0, None), &schema, Some("minute")).unwrap();
    let rows = [batch(&[("FR", 1, 1.0), ("FR", 3, 3.0), ("FR", 2, 2.0)])];
    assert_eq!(shown(&alert.observe(&rows, 1)), ["1 firing Spike in FR: 3"]);
    // The next window is calm: the old rows are still there, and resolve.
    let newest = Some(4 * 60_000_000);
    assert_eq!(shown(&alert.observe_from(&rows, newest, 2)), ["2 resolved Spike in FR: 3"]);
    let rows = [batch(&[("FR", 3, 3.0), ("FR", 4, 4.0)])];
    assert_eq!(shown(&alert.observe_from(&rows, newest, 3)), ["3 firing Spike in FR: 4"]);
}

#[test]
fn a_window_that_is_corrected_there_and_back_makes_new_notices() {
    let schema = batch(&[]).schema();
    let mut alert = Alert::new(&declared(&["region"], 0, None), &schema, Some("minute")).unwrap();
    let first = alert.observe(&spike(), 1).remove(0);
    let over = alert.observe(&[], 2).remove(0);
    let second = alert.observe(&spike(), 3).remove(0);
    let over_again = alert.observe(&[], 4).remove(0);
    let ids = std::collections::BTreeSet::from([first.id, over.id, second.id, over_again.id]);
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_replay_from_the_checkpoint_makes_the_same_ids() {
    let schema = batch(&[]).schema();
    let new = || Alert::new(&declared(&["region"], 0, None), &schema, Some("minute")).unwrap();
    let mut alert = new();
    alert.observe(&[batch(&[("DE", 0, 1.0)])], 1);
    let checkpoint = alert.to_bytes();
    let before = alert.observe(&spike(), 2);
    let mut again = new();
    again.restore(&checkpoint).unwrap();
    // The clock is another one after the crash; the window is not.
    let after = again.observe(&spike(), 900);
    let ids = |it: &[Notice]| it.iter().map(|it| (it.id.clone(), it.state)).collect::<Vec<_>>();
    assert_eq!(ids(&before)[1], ids(&after)[1]);
}

#[test]
fn a_restored_alert_tells_nothing_by_itself() {
    let mut alert = alert(&declared(&["region"], 0, Some(MINUTE_MS)));
    let notice = alert.observe(&spike(), 1).remove(0);
    let undelivered = alert.to_bytes();
    alert.settle(&[Settled {
        notice: notice.id.clone(),
        alert: notice.alert.clone(),
        target: Name::new("oncall").unwrap(),
        outcome: Outcome::Delivered,
    }]);
    assert_eq!(alert.outbox().count(), 0);
    let delivered = alert.to_bytes();

    let mut restored = tests::alert(&declared(&["region"], 0, Some(MINUTE_MS)));
    restored.restore(&delivered).unwrap();
    assert!(restored.observe(&spike(), 2).is_empty());
    assert_eq!(restored.outbox().count(), 0);
    assert_eq!(restored.observe(&[], 3).len(), 1, "but it still knows what to resolve");

    restored.restore(&undelivered).unwrap();
    let waiting: Vec<_> = restored.outbox().map(|(notice, _)| notice.clone()).collect();
    assert_eq!(waiting, [notice]);
    let mut other = declared(&["region"], 0, None);
    other.notify = vec![Name::new("nobody").unwrap()];
    let mut other = tests::alert(&other);
    other.restore(&undelivered).unwrap();
    assert_eq!(other.outbox().count(), 0, "who is no longer declared is not told");
}

#[test]
fn another_key_in_the_project_resolves_the_old_ones() {
    let mut alert = alert(&declared(&["region"], 0, None));
    alert.observe(&spike(), 1);
    let bytes = alert.to_bytes();
    let mut changed = tests::alert(&declared(&["region", "minute"], 0, None));
    changed.restore(&bytes).unwrap();
    let told = shown(&changed.observe(&spike(), 2));
    assert_eq!(told, ["2 resolved Spike in FR: 12.5", "2 firing Spike in FR: 12.5"]);
}

#[test]
fn states_that_are_not_ours_are_refused() {
    let mut alert = alert(&declared(&["region"], 0, None));
    alert.observe(&spike(), 1);
    for bytes in
        [b"".as_slice(), b"{}", b"{\"version\":1}", b"\xff", b"{\"version\":1,\"state\":{}}"]
    {
        assert!(matches!(alert.restore(bytes), Err(StateError::Damaged(_))));
    }
    let later = br#"{"version":2,"else":1}"#;
    assert!(matches!(alert.restore(later), Err(StateError::Version { found: 2 })));
    assert_eq!(alert.firing(), 1, "a refused state changes nothing");
}

#[test]
fn columns_that_are_not_there_are_faults_with_their_place() {
    let mut wrong = declared(&["regin"], 0, None);
    wrong.title_columns = vec![word("revenu"), word("region")];
    let faults = Alert::new(&wrong, batch(&[]).schema_ref(), None).unwrap_err();
    let messages: Vec<_> = faults.iter().map(|it| it.message().to_owned()).collect();
    expect![[r#"
        `regin` is no column of the alert's SELECT
        `revenu` is no column of the alert's SELECT"#]]
    .assert_eq(&messages.join("\n"));
}

#[test]
fn too_many_keys_are_said_and_not_told() {
    let names: Vec<_> = (0..ALERT_KEYS_MAX + 10).map(|it| format!("region {it}")).collect();
    let rows: Vec<_> = names.iter().map(|it| (it.as_str(), 0, 1.0)).collect();
    let mut alert = alert(&declared(&["region"], 0, Some(1)));
    assert_eq!(alert.observe(&[batch(&rows)], 1).len(), ALERT_KEYS_MAX);
    assert!(alert.error().unwrap().starts_with("more than 10000 keys"));
    alert.elapse(10);
    assert_eq!(alert.outbox().count(), NOTICES_MAX, "the outbox has a limit");
    let reminders = alert.outbox().filter(|it| it.0.state == NoticeState::Reminder).count();
    assert_eq!((reminders, alert.lost()), (0, 0), "reminders leave it first");
    alert.observe(&[batch(&rows[..5])], 20);
    assert_eq!(alert.error(), None);
    assert_eq!(alert.outbox().count(), NOTICES_MAX);
    assert_eq!(alert.lost(), 9_995, "what is lost is counted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes, and wherever the program restarts: for each key firing and resolved
    /// alternate, and no two notices have the same id.
    #[test]
    fn firing_and_resolved_alternate(
        steps in proptest::collection::vec((0_u8..8, 0_u64..120, any::<bool>()), 1..30),
        hold in 0_u64..3,
        remind in proptest::option::of(1_u64..4),
    ) {
        let declared = declared(&["region"], hold * MINUTE_MS, remind.map(|it| it * MINUTE_MS));
        let mut alert = alert(&declared);
        let mut now_ms = 0;
        let mut told: BTreeMap<String, Vec<NoticeState>> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for (present, seconds, restarts) in steps {
            now_ms += 1 + seconds * 1_000;
            let regions = ["A", "B", "C"];
            let rows: Vec<_> = regions.iter().enumerate().filter(|(bit, _)| present & (1 << bit) != 0).map(|(_, region)| (*region, 0, 1.0)).collect();
            if restarts {
                let bytes = alert.to_bytes();
                alert = tests::alert(&declared);
                alert.restore(&bytes).unwrap();
                prop_assert_eq!(alert.to_bytes(), bytes);
            }
            let due = alert.next_due_ms();
            let early = due.map_or(Vec::new(), |due| alert.elapse(due.saturating_sub(1).min(now_ms)));
            prop_assert!(early.is_empty(), "nothing is due before it is due");
            for notice in alert.observe(&[batch(&rows)], now_ms) {
                prop_assert!(ids.insert(notice.id));
                told.entry(notice.key).or_default().push(notice.state);
            }
            let is_firing = |region: &str| {
                let key = format!("{{\"region\":\"{region}\"}}");
                told.get(&key).is_some_and(|it| *it.last().unwrap() != NoticeState::Resolved)
            };
            for (region, _, _) in &rows {
                prop_assert!(0 < hold || is_firing(region));
            }
            for region in regions {
                prop_assert!(rows.iter().any(|it| it.0 == region) || !is_firing(region));
            }
        }
        for states in told.values() {
            let mut is_firing = false;
            for state in states {
                prop_assert_eq!(is_firing, *state != NoticeState::Firing);
                is_firing = *state != NoticeState::Resolved;
            }
        }
    }

    #[test]
    fn any_bytes_are_a_state_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let refused = alert(&declared(&[], 0, None)).restore(&bytes);
        prop_assert!(refused.is_err());
    }
}
