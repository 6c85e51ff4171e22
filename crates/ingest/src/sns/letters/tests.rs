//! Letters survive what a crash leaves, and the file does not grow for ever.

use base::Name;

use super::*;

fn posting(text: &str, to: &[&str]) -> Posting {
    let message = Message {
        id: text.to_owned(),
        topic: Name::new("oncall").unwrap(),
        subject: None,
        text: text.to_owned(),
        at_ms: 1,
    };
    Posting::new(message, "host", to.iter().map(|it| To::Way((*it).to_owned())).collect())
}

fn open(folder: &Path) -> Letters {
    let letters = Letters::default();
    letters.open(folder).unwrap();
    letters
}

fn firsts(letters: &Letters) -> Vec<(u64, String, String)> {
    let firsts = letters.firsts();
    let told = firsts.iter().map(|(number, it)| {
        (
            *number,
            it.message.text.clone(),
            match &it.to {
                To::Way(way) => way.clone(),
                other => format!("{other:?}"),
            },
        )
    });
    told.collect()
}

fn first(number: u64, text: &str, to: &str) -> (u64, String, String) {
    (number, text.to_owned(), to.to_owned())
}

#[test]
fn what_was_posted_is_there_after_a_crash_and_what_is_over_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let letters = open(folder.path());
    letters.post(vec![posting("one", &["a", "b"]), posting("two", &["a"])]).unwrap();
    assert_eq!(firsts(&letters), [first(0, "one", "a"), first(1, "one", "b")]);
    letters.settle(vec![0]).unwrap();
    assert_eq!(firsts(&letters), [first(1, "one", "b"), first(2, "two", "a")]);
    drop(letters);
    // A line that was not written whole, as a crash leaves it.
    let path = folder.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(b"{\"Post\":{\"mess");
    std::fs::write(&path, bytes).unwrap();
    let letters = open(folder.path());
    assert_eq!(firsts(&letters), [first(1, "one", "b"), first(2, "two", "a")]);
    letters.post(vec![posting("three", &["b"])]).unwrap();
    letters.settle(vec![1]).unwrap();
    drop(letters);
    let letters = open(folder.path());
    assert_eq!(firsts(&letters), [first(2, "two", "a"), first(3, "three", "b")]);
    letters.forget(|it| it.message.text == "two").unwrap();
    assert_eq!(open(folder.path()).count(), 1);
}

#[test]
fn many_who_post_at_a_time_all_find_their_letters_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let letters = open(folder.path());
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let letters = &letters;
            scope.spawn(move || {
                for number in 0..20 {
                    letters.post(vec![posting(&format!("{thread}-{number}"), &["a"])]).unwrap();
                }
            });
        }
    });
    assert_eq!(letters.count(), 320);
    // Each of one thread in its order.
    let state = open(folder.path());
    let state = state.state.lock();
    let texts: Vec<&str> = state.letters.values().map(|it| it.message.text.as_str()).collect();
    for thread in 0..16 {
        let of = texts.iter().filter(|it| it.starts_with(&format!("{thread}-")));
        let wanted = (0..20).map(|it| format!("{thread}-{it}"));
        assert!(of.eq(wanted.collect::<Vec<_>>().iter()), "{thread}");
    }
}

#[test]
fn the_file_is_written_anew_when_most_of_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let letters = open(folder.path());
    let text = "x".repeat(200 << 10);
    let mut longest = 0;
    for number in 0..100 {
        letters.post(vec![posting(&text, &["a"])]).unwrap();
        letters.settle(vec![number]).unwrap();
        longest = longest.max(std::fs::metadata(folder.path().join(FILE)).unwrap().len());
    }
    assert!(longest < 5 << 20, "{longest}");
    assert_eq!(open(folder.path()).count(), 0);
}

#[test]
fn too_much_is_refused_and_costs_nothing_that_waits() {
    let letters = Letters::default();
    let text = "x".repeat(limits::MESSAGES_BYTES_MAX / 2);
    letters.post(vec![posting(&text, &["a", "b"])]).unwrap();
    letters.post(vec![posting(&text, &["a"])]).unwrap();
    assert!(matches!(letters.post(vec![posting("y", &["a"])]), Err(NotPosted::Full)));
    assert_eq!(letters.count(), 3);
    letters.settle(vec![2]).unwrap();
    letters.post(vec![posting("y", &["a"])]).unwrap();
}

#[test]
fn a_failed_write_is_told_and_the_next_one_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let letters = open(folder.path());
    letters.post(vec![posting("one", &["a"])]).unwrap();
    letters.log.lock().as_mut().unwrap().is_torn = true;
    let part = folder.path().join(format!("{FILE}.part"));
    std::fs::create_dir(&part).unwrap();
    assert!(matches!(letters.post(vec![posting("two", &["a"])]), Err(NotPosted::Kept(_))));
    assert_eq!(letters.count(), 1, "who is told of a fault publishes again");
    std::fs::remove_dir(&part).unwrap();
    letters.post(vec![posting("three", &["a"])]).unwrap();
    let texts: Vec<_> = open(folder.path()).firsts();
    assert_eq!((texts.len(), open(folder.path()).count()), (1, 2));
}
