//! The small file that says which streams there are and where their sealed records lie.
//!
//! It is written anew at each change: beside the old one, synced, renamed over it, the folder
//! synced. Its first line holds the checksum of the rest.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::Path;

use base::{Name, ShardId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::disk::Disk;
use crate::settings::StreamId;

/// The file's name in the journal's folder.
pub(crate) const MANIFEST_NAME: &str = "streams.json";

const FORMAT: u32 = 2;
/// The layout before shards were split and merged: their ids were their places in the list.
const FORMAT_FIXED_SHARDS: u32 = 1;

/// What survives every restart, whatever happened to the segments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    /// Whether the first segment was made: from then on a missing one is damage.
    pub(crate) started: bool,
    /// Segments before this generation hold nothing that is needed.
    pub(crate) generation_first: u64,
    /// The last commit of the segment before `generation_first`.
    pub(crate) commit: u64,
    /// Where that commit ended.
    pub(crate) commit_end: u64,
    /// The id of the next stream: ids are not used again.
    #[serde(default)]
    pub(crate) stream_next: u32,
    /// By id.
    pub(crate) streams: Vec<StreamEntry>,
    /// Sealed files, oldest first.
    pub(crate) sealed: Vec<SealedEntry>,
    /// Files of idempotency keys, oldest first.
    pub(crate) keys: Vec<KeysEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamEntry {
    pub(crate) id: u32,
    pub(crate) name: Name,
    pub(crate) created_ms: u64,
    pub(crate) declared: bool,
    /// How many shards it was told to have last.
    #[serde(default)]
    pub(crate) shards_wanted: u32,
    /// Whether its shards follow the load.
    #[serde(default)]
    pub(crate) on_demand: bool,
    pub(crate) replay_ms: u64,
    pub(crate) replay_bytes: u64,
    /// Records of shards that are gone.
    #[serde(default)]
    pub(crate) received_gone: u64,
    /// What somebody wants remembered beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// By id.
    pub(crate) shards: Vec<ShardEntry>,
    /// Per reader, the first record it has not handed over, in the order of `shards`.
    pub(crate) holds: BTreeMap<String, Vec<u64>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardEntry {
    #[serde(default)]
    pub(crate) id: u32,
    #[serde(with = "hexadecimal")]
    pub(crate) hash_start: u128,
    #[serde(with = "hexadecimal")]
    pub(crate) hash_end: u128,
    /// The first record still readable.
    pub(crate) first: u64,
    /// One past the last sealed record, dropped or not: so counters survive everything.
    pub(crate) sealed: u64,
    /// When the last sealed record arrived.
    pub(crate) arrived_ms: u64,
    /// The shard that was split, or the first of the two that were merged, to make this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<u32>,
    /// The second of the two that were merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adjacent_parent: Option<u32>,
    #[serde(default)]
    pub(crate) opened_ms: u64,
    /// When it was split or merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedEntry {
    pub(crate) stream: u32,
    pub(crate) generation: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysEntry {
    pub(crate) generation: u64,
    pub(crate) bytes: u64,
    pub(crate) newest_ms: u64,
}

impl Manifest {
    /// Returns the manifest of a journal that never was.
    pub(crate) fn fresh() -> Manifest {
        Manifest { format: FORMAT, generation_first: 1, ..Manifest::default() }
    }

    /// Reads the manifest; `None` if there is none.
    pub(crate) fn load(disk: &dyn Disk, folder: &Path) -> Result<Option<Manifest>, Error> {
        let path = folder.join(MANIFEST_NAME);
        let of_io = |error: io::Error| Error::of_io(&path, &error);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(of_io(error)),
        };
        let length = usize::try_from(file.length().map_err(of_io)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let read = file.read_at(0, &mut bytes).map_err(of_io)?;
        bytes.truncate(read);
        let damaged = |what: String| Error::Damaged { file: path.clone(), offset: 0, what };
        Manifest::decode(&bytes).map_err(damaged).map(Some)
    }

    /// Makes this the manifest; the old one stays if that fails.
    ///
    /// [`Error::Failed`] says that nobody knows which of the two a crash would leave.
    pub(crate) fn store(&self, disk: &dyn Disk, folder: &Path) -> Result<(), Error> {
        let path = folder.join(MANIFEST_NAME);
        let beside = folder.join("streams.json.new");
        let stored = (|| {
            let file = disk.create(&beside)?;
            file.write_at(0, &[IoSlice::new(&self.encode())])?;
            file.sync()?;
            disk.rename(&beside, &path)
        })();
        stored.map_err(|error: io::Error| {
            if let Err(error) = disk.remove(&beside) {
                tracing::debug!(%error, "half-written manifest not removed");
            }
            Error::of_io(&path, &error)
        })?;
        disk.sync_folder(folder).map_err(|error| {
            let reason = format!("`{}` could not be synced: {error}", folder.display());
            Error::Failed { reason }
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = serde_json::to_vec_pretty(self).expect("it has only numbers, names and lists");
        let mut bytes = format!("{:08x}\n", crc32c::crc32c(&text)).into_bytes();
        bytes.extend_from_slice(&text);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        let (line, text) = bytes.split_at_checked(9).ok_or("it is too short")?;
        if line != format!("{:08x}\n", crc32c::crc32c(text)).as_bytes() {
            return Err("its checksum does not match".into());
        }
        let mut manifest: Manifest = serde_json::from_slice(text).map_err(|it| it.to_string())?;
        if manifest.format == FORMAT_FIXED_SHARDS {
            manifest.upgrade();
        }
        if manifest.format != FORMAT {
            return Err(format!("format {} is not {FORMAT}", manifest.format));
        }
        let by_id = |it: &StreamEntry| it.shards.is_sorted_by(|one, next| one.id < next.id);
        let is_sound = manifest.streams.is_sorted_by(|one, next| one.id < next.id)
            && manifest.streams.iter().all(|it| it.id < manifest.stream_next && by_id(it));
        if is_sound { Ok(manifest) } else { Err("its streams or shards are out of order".into()) }
    }

    /// Says what was implied before shards were split and merged.
    fn upgrade(&mut self) {
        self.format = FORMAT;
        self.stream_next = self.streams.last().map_or(0, |it| it.id + 1);
        for stream in &mut self.streams {
            stream.shards_wanted = u32::try_from(stream.shards.len()).unwrap_or(u32::MAX);
            for (shard, id) in stream.shards.iter_mut().zip(0..) {
                shard.id = id;
                shard.opened_ms = stream.created_ms;
            }
        }
    }

    pub(crate) fn stream(&self, stream: StreamId) -> Option<&StreamEntry> {
        let index = self.streams.binary_search_by_key(&stream.0, |it| it.id).ok()?;
        self.streams.get(index)
    }

    pub(crate) fn stream_mut(&mut self, stream: StreamId) -> Option<&mut StreamEntry> {
        let index = self.streams.binary_search_by_key(&stream.0, |it| it.id).ok()?;
        self.streams.get_mut(index)
    }
}

impl StreamEntry {
    pub(crate) fn shard_mut(&mut self, shard: ShardId) -> Option<&mut ShardEntry> {
        let index = self.shards.binary_search_by_key(&shard.0, |it| it.id).ok()?;
        self.shards.get_mut(index)
    }
}

/// Numbers of 128 bits as text, which JSON readers of all kinds keep exact.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
