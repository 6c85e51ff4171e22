//! Tests of `objects`: every write is synced, file and folder.

use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode};

use super::*;
use crate::disk::Step;
use crate::disk::tests::{Notes, watched};

fn store() -> (SyncedFiles, Arc<Notes>, tempfile::TempDir, Path) {
    let folder = tempfile::tempdir().unwrap();
    let (disk, notes) = watched();
    let root = Path::from_absolute_path(folder.path()).unwrap();
    (SyncedFiles::new(disk), notes, folder, root)
}

fn syncs(notes: &Notes) -> (usize, usize) {
    let names = notes.names();
    let count = |wanted: Step| names.iter().filter(|(step, _)| *step == wanted).count();
    (count(Step::SyncFile), count(Step::SyncFolder))
}

async fn content(store: &SyncedFiles, path: &Path) -> Vec<u8> {
    store.get(path).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn put_syncs_file_and_folder() {
    let (store, notes, _folder, root) = store();
    let path = root.clone().join("a");
    store.put(&path, "one".into()).await.unwrap();
    assert_eq!(syncs(&notes), (1, 1));
    store.put(&path, "two".into()).await.unwrap();
    assert_eq!((syncs(&notes), content(&store, &path).await), ((2, 2), b"two".to_vec()));
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let error = store.put_opts(&path, "three".into(), create.clone()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    assert_eq!(content(&store, &path).await, b"two");
    store.put_opts(&root.clone().join("b"), "three".into(), create).await.unwrap();
    assert_eq!(store.list(Some(&root)).try_collect::<Vec<_>>().await.unwrap().len(), 2);
}

#[tokio::test]
async fn copy_and_rename_sync_file_and_folders() {
    let (store, notes, _folder, root) = store();
    let (a, b, c) = (root.clone().join("a"), root.clone().join("b"), root.join("deep").join("c"));
    store.put(&a, "one".into()).await.unwrap();
    store.copy(&a, &b).await.unwrap();
    assert_eq!(syncs(&notes), (2, 2));
    store.copy_if_not_exists(&a, &b).await.unwrap_err();
    store.rename(&b, &c).await.unwrap();
    // The new folder in the one above, the file, then both folders that changed.
    let (files, folders) = syncs(&notes);
    assert_eq!((content(&store, &c).await, files, folders), (b"one".to_vec(), 4, 5));
    store.head(&b).await.unwrap_err();
    store.rename_if_not_exists(&a, &c).await.unwrap_err();
    assert_eq!(content(&store, &a).await, b"one");
}

#[tokio::test]
async fn an_object_in_parts_is_there_when_it_is_complete() {
    let (store, notes, folder, root) = store();
    let path = root.join("large");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let (second, first) = (vec![2_u8; 70_000], vec![1_u8; 100_000]);
    let parts = [upload.put_part(first.into()), upload.put_part(second.into())];
    for part in parts.into_iter().rev() {
        part.await.unwrap();
    }
    store.head(&path).await.unwrap_err();
    upload.complete().await.unwrap();
    let content = content(&store, &path).await;
    assert_eq!((content.len(), content[99_999], content[100_000]), (170_000, 1, 2));
    assert_eq!(syncs(&notes), (1, 1));
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
