//! How fast the journal writes, beside a bare loop of write and sync on the same disk.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Name, ShardId};

use crate::disk::{Disk, RealDisk};
use crate::{Append, Error, Journal, Records, Settings, StreamId, StreamSettings};

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Threads that append at the same time, each waiting for its answer.
    pub producers: usize,
    /// Appends of each producer.
    pub appends: usize,
    /// Records of one append.
    pub records: usize,
    /// Bytes of one record.
    pub record_bytes: usize,
}

/// What came out.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Records written in all.
    pub records: u64,
    /// Time from the first append to the last answer.
    pub took: Duration,
    /// Syncs it took.
    pub syncs: u64,
}

impl Speed {
    /// Returns records per second.
    #[expect(clippy::cast_precision_loss, reason = "a speed needs no more than 15 digits")]
    pub fn records_per_second(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Appends `load` to a new journal in `folder`, which must be empty, with real syncs.
pub fn append(folder: &Path, clock: &Arc<dyn Clock>, load: Load) -> Result<Speed, Error> {
    let journal = Journal::open(Settings::new(folder), RealDisk::new(), Arc::clone(clock))?;
    let name = Name::new("bench").map_err(|error| Error::Settings(error.to_string()))?;
    let stream = journal.create_stream(&name, StreamSettings::default())?;
    let started = clock.elapsed();
    let failed = parking_lot::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..load.producers {
            scope.spawn(|| {
                if let Err(error) = produce(&journal, stream, load) {
                    *failed.lock() = Some(error);
                }
            });
        }
    });
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let took = clock.elapsed().saturating_sub(started);
    let stats = journal.stats();
    Ok(Speed { records: stats.records, took, syncs: stats.commits })
}

/// Writes the same bytes in a bare loop: one write and one sync per append, one thread.
pub fn bare(folder: &Path, clock: &dyn Clock, load: Load) -> Result<Speed, Error> {
    let path = folder.join("bare");
    let of_io = |error: std::io::Error| Error::of_io(&path, &error);
    let file = RealDisk.create(&path).map_err(of_io)?;
    let bytes = vec![b'x'; load.records * load.record_bytes];
    let appends = load.producers * load.appends;
    file.preallocate((bytes.len() * appends) as u64).map_err(of_io)?;
    file.sync().map_err(of_io)?;
    let started = clock.elapsed();
    for index in 0..appends {
        let offset = (index * bytes.len()) as u64;
        file.write_at(offset, &[IoSlice::new(&bytes)]).map_err(of_io)?;
        file.sync().map_err(of_io)?;
    }
    let took = clock.elapsed().saturating_sub(started);
    RealDisk.remove(&path).map_err(of_io)?;
    let records = (appends * load.records) as u64;
    Ok(Speed { records, took, syncs: appends as u64 })
}

fn produce(journal: &Journal, stream: StreamId, load: Load) -> Result<(), Error> {
    for _ in 0..load.appends {
        let parts = vec![(ShardId(0), records_of(load)?)];
        journal.append_blocking(Append { stream, parts, idempotency: None })?;
    }
    Ok(())
}

fn records_of(load: Load) -> Result<Records, Error> {
    let record = vec![b'x'; load.record_bytes];
    let mut records = Records::with_capacity(load.records * (load.record_bytes + 8));
    for _ in 0..load.records {
        records.push("", &record)?;
    }
    Ok(records)
}

/// Reads everything of one shard from memory and returns how many records and bytes there were.
pub fn read_all(journal: &Journal, stream: StreamId, shard: ShardId) -> Result<(u64, u64), Error> {
    let mut from = base::SequenceNumber(0);
    let (mut records, mut bytes) = (0, 0);
    loop {
        let frames = journal.read(stream, shard, from, 8 << 20)?;
        if frames.is_empty() {
            return Ok((records, bytes));
        }
        for record in &frames {
            records += 1;
            bytes += record.bytes.len() as u64;
        }
        from = frames.end();
    }
}

#[cfg(test)]
mod tests;
