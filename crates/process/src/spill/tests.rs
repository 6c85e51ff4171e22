use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use base::{Epoch, Name};
use journal::RealDisk;

use super::{Of, Spills};
use crate::checkpoint::Checkpoint;

fn texts(count: usize) -> RecordBatch {
    let texts = (0..count).map(|it| format!("a text that is not short: {it}"));
    let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
    RecordBatch::try_from_iter([("text", column)]).unwrap()
}

#[test]
fn a_file_stays_while_it_is_written_and_held_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let spills = Spills::open(RealDisk::new(), folder.path(), "f", 0, u64::MAX);
    let last = Checkpoint::new(Name::new("f").unwrap(), Epoch(1));
    let rows = texts(10);
    let mut writer = spills.begin(Of::Groups, &rows.schema(), 1).unwrap();
    spills.sweep(&last);
    writer.push(0, std::slice::from_ref(&rows)).unwrap();
    spills.sweep(&last);
    let file = writer.finish().unwrap();
    spills.sweep(&last);
    assert_eq!(file.read_all().unwrap(), [rows]);
    drop(file);
    spills.sweep(&last);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn parts_of_a_batch_are_written_with_their_own_texts_only() {
    let folder = tempfile::tempdir().unwrap();
    let spills = Spills::open(RealDisk::new(), folder.path(), "f", 0, u64::MAX);
    let rows = texts(64_000);
    let mut writer = spills.begin(Of::Groups, &rows.schema(), 64).unwrap();
    for part in 0..64 {
        writer.push(part, &[rows.slice(part as usize * 1_000, 1_000)]).unwrap();
    }
    let bytes = writer.finish().unwrap().bytes();
    assert!(bytes < 2 * 64_000 * 48, "{bytes} bytes");
}
