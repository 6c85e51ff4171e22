//! Ids tell events apart.

use super::*;

#[test]
fn ids_differ_wherever_events_do() {
    let id = |alert: &str, key: &str, numbers: &[i64], state| id_of(alert, key, numbers, state);
    let base = id("a", "{}", &[1, 0, 0], NoticeState::Firing);
    assert_eq!(base, id("a", "{}", &[1, 0, 0], NoticeState::Firing));
    assert_eq!(base.len(), 32);
    assert_ne!(base, id("a", "{}", &[1, 0, 0], NoticeState::Resolved));
    assert_ne!(base, id("a", "{}", &[2, 0, 0], NoticeState::Firing));
    assert_ne!(base, id("a", "{}", &[1, 1, 0], NoticeState::Firing));
    assert_ne!(base, id("a{", "}", &[1, 0, 0], NoticeState::Firing));
    // Ids are compared by receivers over releases: this one never changes.
    assert_eq!(base, "bdb401ce412a96398a7fca53a2a63c24");
}
