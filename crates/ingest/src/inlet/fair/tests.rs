//! Greedy streams against each other, and against a modest one.

use super::*;

/// Lets streams send requests of `bytes` in turn until all are refused; returns what each holds.
fn fill(streams: usize, bytes: usize, max: usize) -> Vec<usize> {
    let waiting = Waiting::new(max);
    let counters: Vec<Arc<AtomicUsize>> = (0..streams).map(|_| Arc::default()).collect();
    let mut places = Vec::new();
    loop {
        let before = places.len();
        places.extend(counters.iter().filter_map(|it| waiting.enter(it, bytes)));
        if places.len() == before {
            return counters.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        }
    }
}

#[test]
fn one_stream_has_three_quarters_and_several_have_as_much_as_each_other() {
    assert_eq!(fill(1, 10, 1_000), [750]);
    assert_eq!(fill(2, 10, 1_000), [430, 430]);
    let ten = fill(10, 1, 1_000);
    assert!(ten.iter().all(|it| (96..=98).contains(it)), "{ten:?}");
}

#[test]
fn a_newcomer_finds_room_and_room_comes_back() {
    let waiting = Waiting::new(1_000);
    let (greedy, modest) = (Arc::default(), Arc::default());
    let mut places: Vec<Place> = std::iter::from_fn(|| waiting.enter(&greedy, 50)).collect();
    assert_eq!(places.len(), 15);
    let place = waiting.enter(&modest, 50).unwrap();
    assert!(waiting.enter(&modest, 50).is_some());
    assert!(waiting.enter(&greedy, 50).is_none());
    drop(place);
    places.clear();
    assert_eq!((greedy.load(Ordering::Relaxed), waiting.bytes.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn the_first_request_passes_however_large() {
    let waiting = Waiting::new(100);
    let stream = Arc::default();
    let place = waiting.enter(&stream, 5_000).unwrap();
    assert!(waiting.enter(&stream, 1).is_none());
    drop(place);
    assert!(waiting.enter(&stream, 1).is_some());
}
