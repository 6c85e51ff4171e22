//! Tests of `disk`: each step in its order, and nothing half-done under a name.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, Step, Taken, Watch};

/// Notes each step with the last part of its path, and fails from step `cut` on.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) taken: Mutex<Vec<(Step, String)>>,
    pub(crate) cut: Mutex<Option<usize>>,
}

impl Notes {
    /// Lets everything fail after so many more steps, as if the program had been killed.
    pub(crate) fn cut_after(&self, steps: usize) {
        *self.cut.lock() = Some(self.taken.lock().len() + steps);
    }

    pub(crate) fn names(&self) -> Vec<(Step, String)> {
        self.taken.lock().clone()
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.lock().is_some_and(|it| it <= self.taken.lock().len())
    }
}

impl Watch for Notes {
    fn before(&self, step: Step, path: &Path) -> io::Result<()> {
        if self.is_cut() {
            return Err(io::Error::other("the program was killed"));
        }
        self.taken.lock().push((step, path.display().to_string()));
        Ok(())
    }
}

pub(crate) fn watched() -> (Disk, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    (Disk::watched(Arc::<Notes>::clone(&notes)), notes)
}

fn steps(notes: &Notes) -> Vec<Step> {
    notes.names().into_iter().map(|(step, _)| step).collect()
}

#[test]
fn a_file_is_synced_before_it_has_a_name_and_its_folder_after() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, notes) = watched();
    let path = folder.path().join("a");
    disk.write(&path, [b"one".as_slice(), b" two"], Taken::Refuse).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one two");
    let expected = [Step::WriteFile, Step::SyncFile, Step::Publish, Step::SyncFolder];
    assert_eq!(steps(&notes), expected);
    let error = disk.write(&path, [b"three".as_slice()], Taken::Refuse).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"one two");
    disk.write(&path, [b"three".as_slice()], Taken::Replace).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"three");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_new_folder_is_synced_in_the_one_above() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, notes) = watched();
    disk.create_folders(&folder.path().join("a/b")).unwrap();
    disk.create_folders(&folder.path().join("a/b")).unwrap();
    let expected = [Step::CreateFolder, Step::SyncFolder, Step::CreateFolder, Step::SyncFolder];
    assert_eq!(steps(&notes), expected);
    assert!(notes.names()[3].1.ends_with("/a"));
}

#[test]
fn a_write_that_is_cut_off_leaves_all_or_nothing() {
    for cut in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let (disk, notes) = watched();
        let path = folder.path().join("a");
        notes.cut_after(cut);
        disk.write(&path, [b"whole".as_slice()], Taken::Refuse).unwrap_err();
        match std::fs::read(&path) {
            Ok(content) => assert_eq!(content, b"whole"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        }
    }
}
