use base::time::SystemClock;

use super::{Load, ticks, windows};

#[tokio::test]
async fn a_tiny_load_is_measured() {
    let clock = SystemClock::start();
    let folder = tempfile::tempdir().unwrap();
    let load = Load { rows: 40_000, groups: 100, batch_rows: 8_000 };
    let (ours, once) = windows(folder.path(), &*clock, load).await.unwrap();
    println!("windows {:.0}, at once {:.0} rows/s", ours.rows_per_second(), once.rows_per_second());
    assert_eq!((ours.rows, once.rows), (40_000, 40_000));
    let load = Load { rows: 5_000, groups: 100, batch_rows: 250 };
    let folder = tempfile::tempdir().unwrap();
    let found = ticks(folder.path(), &clock, load).await.unwrap();
    println!("{found:?}");
    assert!(found.tick_p50 <= found.tick_p99);
}
