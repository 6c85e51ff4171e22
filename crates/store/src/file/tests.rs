//! Tests of `file`: names say why a file is there, and nothing is left of a write that failed.

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::disk::Step;
use crate::disk::tests::watched;

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]))
}

fn batch(values: std::ops::Range<i64>) -> RecordBatch {
    let values: Int64Array = values.map(Some).collect();
    RecordBatch::try_new(columns(), vec![Arc::new(values)]).unwrap()
}

proptest! {
    #[test]
    fn a_name_says_why_the_file_is_there(epoch in any::<u64>(), text in ".*") {
        let name = Purpose::Epoch(Epoch(epoch)).name();
        prop_assert_eq!(Purpose::of(&format!("_day=x/{name}")), Some(Purpose::Epoch(Epoch(epoch))));
        prop_assert_eq!(Purpose::of(&Purpose::Again.name()), Some(Purpose::Again));
        prop_assert_eq!(Purpose::of(&Purpose::Cold.name()), Some(Purpose::Cold));
        prop_assert_eq!(Purpose::of(&text), None);
        prop_assert_ne!(Purpose::of(&format!("rows-{text}.parquet")), Some(Purpose::Again));
    }
}

#[test]
fn files_are_synced_with_their_folders_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, notes) = watched();
    let mut writer = Writer::new(&disk, folder.path(), columns(), Purpose::Again, 1);
    let partition = Some(("_region", Some("FR")));
    writer.write(partition, [Ok(batch(0..10)), Ok(batch(0..0)), Ok(batch(10..30))]).unwrap();
    writer.write(Some(("_region", None)), [Ok(batch(0..0))]).unwrap();
    let files = writer.finish().unwrap();
    let rows: Vec<u64> = files.iter().map(|it| it.facts.rows).collect();
    assert_eq!(rows, [10, 20], "each batch fills a file, none is empty");
    assert!(files[0].path.starts_with("_region=FR/again-"));
    assert_eq!(files[0].bytes, folder.path().join(&files[0].path).metadata().unwrap().len());
    let names = notes.names();
    for file in &files {
        let synced = (Step::SyncFile, folder.path().join(&file.path).display().to_string());
        assert!(names.contains(&synced));
    }
    let (last, path) = names.last().unwrap();
    assert!(*last == Step::SyncFolder && path.ends_with("_region=FR"));
    let read: Vec<_> = read(folder.path(), &files[1].path, &columns()).unwrap().collect();
    assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [batch(10..30)]);
}

#[test]
fn nothing_is_left_of_a_write_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    let mut writer = Writer::new(&disk, folder.path(), columns(), Purpose::Again, 1);
    let broken = || Err(Error::CutOff { table: "t".to_owned() });
    writer.write(None, [Ok(batch(0..10)), Ok(batch(0..10)), broken()]).unwrap_err();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_worth_trying_again() {
    // Writes there fail as on a full disk.
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        println!("skipped: there is no /dev/full");
        return;
    };
    let values: Int64Array = (0..100_000_i64)
        .map(|it| it.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64))
        .map(Some)
        .collect();
    let rows = RecordBatch::try_new(columns(), vec![Arc::new(values)]).unwrap();
    let mut writer = ArrowWriter::try_new(full, columns(), None).unwrap();
    let written = writer.write(&rows).and_then(|()| writer.finish().map(|_| ()));
    let error = unwritten(Path::new("x"))(written.unwrap_err());
    assert_eq!(error.kind(), base::Kind::Unavailable, "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x"), bytes).unwrap();
        let read = read(folder.path(), "x", &columns()).map(Iterator::count);
        prop_assert!(read.is_err());
    }
}
