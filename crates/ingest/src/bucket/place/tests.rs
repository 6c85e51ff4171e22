//! Objects in clouds are told as they are: a moment is one whether it is told in seconds or in
//! milliseconds, and what is empty is asked for once.

use object_store::memory::InMemory;

use super::*;

fn object(key: &str, size: u64, created_ms: u64) -> Object {
    Object { key: key.to_owned(), size, etag: "e".to_owned(), created_ms, cold: None }
}

#[tokio::test]
async fn what_is_empty_and_no_object_is_left_out_and_not_asked_for_again() {
    let (store, prefix, asked) = (InMemory::new(), Key::from("in"), Asked::default());
    store.put(&Key::from("in/empty.csv"), "".into()).await.unwrap();
    store.put(&Key::from("in/both"), "id".into()).await.unwrap();
    // A listing has folders with the `/` at their ends taken away.
    let listed = || {
        let names = ["both", "empty.csv", "folder", "folder/a.csv"];
        let objects = names.iter().map(|it| object(it, if it.contains('/') { 5 } else { 0 }, 1));
        objects.chain([object("both", 2, 1)]).collect::<Vec<_>>()
    };
    for round in 0..2 {
        let kept = without_folders(listed(), (&store, &prefix), &asked).await.unwrap();
        let kept: Vec<(&str, u64)> = kept.iter().map(|it| (it.key.as_str(), it.size)).collect();
        assert_eq!(kept, [("empty.csv", 0), ("folder/a.csv", 5), ("both", 2)]);
        // What is known holds for this version, whatever the store says.
        if round == 0 {
            store.delete(&Key::from("in/empty.csv")).await.unwrap();
        }
    }
    let newer = vec![object("empty.csv", 0, 2)];
    let kept = without_folders(newer, (&store, &prefix), &asked).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn a_version_is_the_same_in_whole_seconds() {
    let listed = object("a", 1, 1_767_607_200_123);
    assert!(is_as_listed(&object("a", 1, 1_767_607_200_000), &listed));
    assert!(is_as_listed(&object("a", 1, 1_767_607_200_123), &listed));
    assert!(!is_as_listed(&object("a", 1, 1_767_607_201_000), &listed));
    assert!(!is_as_listed(&object("a", 2, 1_767_607_200_000), &listed));
}
