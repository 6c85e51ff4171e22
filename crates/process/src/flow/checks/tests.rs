//! What an answer means, without a flow.

use super::*;

const NOW_MS: u64 = 1_767_607_200_000;
const NOW_US: i64 = 1_767_607_200_000_000;

#[test]
fn an_answer_passes_or_says_why_not() {
    let told = |asks: Asks, answer: Answer, before: Option<u64>| {
        let verdict = judge(&asks, &answer, before, NOW_MS);
        if verdict.passes { "passes".to_owned() } else { verdict.message.unwrap() }
    };
    let number = |it: i64| Answer::Number(Some(it));
    assert_eq!(told(Asks::Wrong, number(0), None), "passes");
    assert_eq!(told(Asks::Wrong, number(1), None), "1 is wrong");
    assert_eq!(told(Asks::Wrong, number(7), None), "7 are wrong");
    assert_eq!(told(Asks::Truth, Answer::Truth(Some(true)), None), "passes");
    assert_eq!(told(Asks::Truth, Answer::Truth(Some(false)), None), "it is false");
    assert_eq!(told(Asks::Truth, Answer::Truth(None), None), "it is NULL");
    let hour = Asks::Newest { within_us: 3_600_000_000 };
    assert_eq!(told(hour, number(NOW_US - 3_600_000_000), None), "passes");
    let old = told(hour, number(NOW_US - 7_200_000_000), None);
    assert_eq!(old, "the newest row is 2 hours old");
    assert_eq!(told(hour, Answer::Number(None), None), "there is no row with a time");
    let half = Asks::Rows { percent: 50.0 };
    assert_eq!(told(half, number(10), None), "passes", "nothing to compare with");
    assert_eq!(told(half, number(15), Some(10)), "passes");
    assert_eq!(told(half, number(4), Some(10)), "4 rows, and 10 when it passed last");
    assert_eq!(told(half, number(16), Some(10)), "16 rows, and 10 when it passed last");
    let error = Answer::Error("no disk".to_owned());
    assert_eq!(told(Asks::Wrong, error, None), "it cannot be asked: no disk");
}

#[test]
fn what_is_held_weighs_more_than_what_is_not_known() {
    let held = Hold::Held("x".to_owned());
    assert_eq!(Hold::Free.or(Hold::Unknown), Hold::Unknown);
    assert_eq!(Hold::Unknown.or(Hold::Free), Hold::Unknown);
    assert_eq!(Hold::Unknown.or(held.clone()), held);
    assert_eq!(held.clone().or(Hold::Unknown), held);
}
