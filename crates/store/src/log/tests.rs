//! Tests of `log`: a version belongs to one writer, and strange tables are refused.

use super::*;
use crate::disk::Step;
use crate::disk::tests::watched;
use crate::table::tests::{append, layout, open, put};

fn info() -> Line {
    Line::CommitInfo(CommitInfo {
        timestamp: 0,
        operation: "WRITE",
        operation_parameters: BTreeMap::new(),
        engine_info: "mainstem",
    })
}

#[test]
fn a_version_belongs_to_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, notes) = watched();
    let log = Log::new("t", folder.path(), disk);
    assert!(!log.settle().unwrap());
    assert!(log.append(0, &[info()]).unwrap());
    assert!(!log.append(0, &[info()]).unwrap());
    assert!(log.append(1, &[info()]).unwrap());
    std::fs::write(log.folder().join(format!("{UNFINISHED}x")), b"{").unwrap();
    assert!(log.settle().unwrap());
    assert_eq!(std::fs::read_dir(log.folder()).unwrap().count(), 2);
    assert_eq!(notes.names().last().unwrap().0, Step::SyncFolder);
}

#[test]
fn versions_are_read_off_names() {
    assert_eq!(version_of("00000000000000000012.json"), Some(12));
    assert_eq!(version_of("00000000000000000012.checkpoint.parquet"), Some(12));
    for other in ["_last_checkpoint", "12.json", "0000000000000000001x.json", ""] {
        assert_eq!(version_of(other), None);
    }
}

#[tokio::test]
async fn files_that_another_program_changed_in_its_own_way_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    put(&table, 1, append(&[(Some(0), None, 1, None)])).await;
    let protocol = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    let version = table.folder().join("_delta_log/00000000000000000002.json");
    std::fs::write(version, protocol).unwrap();
    let error = crate::table::tests::lake(folder.path()).table(layout("t")).await.unwrap_err();
    assert_eq!(error.kind(), base::Kind::Invalid);
    let error = error.to_string();
    assert!(error.contains("turned on features: deletionVectors; undo that"), "{error}");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let table = open(folder.path(), layout("t")).await;
    std::fs::write(table.folder().join("_delta_log/00000000000000000001.json"), b"\0\0\0").unwrap();
    let error = crate::table::tests::lake(folder.path()).table(layout("t")).await.unwrap_err();
    assert_eq!(error.kind(), base::Kind::Corrupt, "{error}");
}
