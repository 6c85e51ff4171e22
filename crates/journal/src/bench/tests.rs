use base::Clock;
use base::time::SystemClock;

use super::{Load, append, bare};

#[test]
fn the_measurement_itself_works() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SystemClock::start();
    let load = Load { producers: 4, appends: 25, records: 500, record_bytes: 100 };
    let speed = append(&folder.path().join("journal"), &clock, load);
    let speed = speed.unwrap();
    assert_eq!(speed.records, 50_000);
    assert!(speed.syncs <= 100 + 1, "commits are shared or single, never more");
    let bare = bare(folder.path(), clock.as_ref() as &dyn Clock, load).unwrap();
    println!("journal {:.0} records/s", speed.records_per_second());
    println!("bare loop {:.0} records/s", bare.records_per_second());
}
