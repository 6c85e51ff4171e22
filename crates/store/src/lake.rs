//! The folder that holds all tables, and the work that keeps them small.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;

use crate::error::Error;
use crate::layout::Layout;
use crate::table::LakeTable;

/// How the lake keeps its tables; the defaults suit a small machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long files that were replaced stay for readers that still use them, and old log
    /// entries with them.
    pub replaced_kept: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { replaced_kept: Duration::from_secs(60 * 60) }
    }
}

/// What one run of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Small files that were merged into larger ones.
    pub files_compacted: u64,
    /// Files that left the table because their rows are older than `keep`.
    pub files_expired: u64,
    /// Files that nothing refers to, deleted.
    pub files_swept: u64,
    /// Checkpoints of logs that were written.
    pub checkpoints: u64,
}

/// All tables of a data folder, each in `FOLDER/NAME`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {}

impl Lake {
    /// Opens the lake, making its folder if need be. Tables are opened one by one.
    pub fn open(
        _folder: &Path,
        _settings: Settings,
        _clock: Arc<dyn Clock>,
    ) -> Result<Lake, Error> {
        Ok(Lake {})
    }

    /// Opens a table, making or adapting it to its layout; the same table for the same name.
    #[expect(clippy::unused_async, reason = "reads the table's log")]
    pub async fn table(&self, layout: Layout) -> Result<Arc<LakeTable>, Error> {
        Err(Error::CutOff { table: layout.name.to_string() })
    }

    /// Compacts, checkpoints, expires and sweeps; begins no new piece of work after `budget`.
    #[expect(clippy::unused_async, reason = "reads and writes files")]
    pub async fn maintain(&self, _budget: Duration) -> Result<Maintained, Error> {
        Ok(Maintained::default())
    }
}
