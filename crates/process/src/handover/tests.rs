//! Tests of `handover`: what was prepared is not prepared again, whatever fails beside it.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use base::time::SystemClock;
use journal::RealDisk;
use rows::sink::Replace;

use super::*;
use crate::spill::Spills;

/// Counts what is asked of it, and is not available the first `fails` times.
#[derive(Default)]
struct Counting {
    fails: u64,
    prepared: AtomicU64,
    committed: AtomicU64,
}

#[async_trait]
impl Sink for Counting {
    async fn prepare(&self, _: Epoch, _: Change) -> Result<Actions, SinkError> {
        if self.prepared.fetch_add(1, Ordering::SeqCst) < self.fails {
            let (sink, reason) = ("table `t`".to_owned(), "the disk is full".to_owned());
            return Err(SinkError::Unavailable { sink, reason });
        }
        Ok(Actions(serde_json::json!({})))
    }

    async fn commit(&self, _: Epoch, _: Actions) -> Result<(), SinkError> {
        self.committed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn committed(&self) -> Result<Epoch, SinkError> {
        Ok(Epoch(0))
    }
}

#[tokio::test]
async fn a_full_disk_is_tried_again_without_writing_the_same_files_anew() {
    let folder = tempfile::tempdir().unwrap();
    let flow = Name::new("f").unwrap();
    let files = Files::open(RealDisk::new(), folder.path(), &flow).unwrap();
    let full = Arc::new(Counting { fails: 2, ..Counting::default() });
    let well = Arc::new(Counting::default());
    let change = |name: &str, sink: &Arc<Counting>| TableChange {
        table: Name::new(name).unwrap(),
        sink: Arc::<Counting>::clone(sink),
        change: Change::new(Vec::new(), Replace::Nothing),
        is_vital: true,
    };
    let spills = Spills::open(RealDisk::new(), folder.path(), &flow, 0, 0);
    let handover = Handover {
        files,
        spills,
        changes: vec![change("full", &full), change("well", &well)],
        state: State::default(),
        checkpoint: Checkpoint::new(flow, Epoch(1)),
        now_ms: 0,
    };
    let failures = Arc::new(AtomicU64::new(0));
    let noted = Arc::clone(&failures);
    let patience = Patience {
        clock: SystemClock::start(),
        failed: Box::new(move |_| {
            noted.fetch_add(1, Ordering::SeqCst);
        }),
    };
    let done = handover.run(Some(&patience)).await.unwrap();
    let count = |it: &AtomicU64| it.load(Ordering::SeqCst);
    assert_eq!(count(&failures), 2);
    assert_eq!((count(&full.prepared), count(&full.committed)), (3, 1));
    assert_eq!((count(&well.prepared), count(&well.committed)), (1, 1), "its files are there");
    assert_eq!(done.checkpoint.tables.values().filter(|it| it.actions.is_some()).count(), 2);
}
