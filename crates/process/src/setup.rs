//! What a flow is opened with: its plan, its journal, where its tables lie, its clock.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, Epoch, Name, limits};
use datafusion::catalog::TableProvider;
use journal::{Disk, Journal};
use rows::sink::{Sink, SinkError};
use tokio::sync::Semaphore;

use crate::plan::FlowPlan;
use crate::view::View;

/// Everything a flow needs from outside.
pub struct Setup {
    /// What it computes.
    pub plan: FlowPlan,
    /// Where its records come from; every stream of the plan must have been created there.
    pub journal: Journal,
    /// Where each table of [`FlowPlan::outputs`] lies, by name.
    pub storage: BTreeMap<String, Storage>,
    /// The folder with the checkpoints of all flows of the project.
    pub folder: PathBuf,
    /// The folder with what was built beside them and counts from now on, if something was.
    pub built: Option<PathBuf>,
    /// The disk that folder is on.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who looks at the tables after each tick.
    pub observer: Option<Box<dyn Observer>>,
    /// How large and how often.
    pub settings: Settings,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("flow", &self.plan.name).finish_non_exhaustive()
    }
}

/// Where the rows of one table lie.
#[derive(Clone)]
pub struct Storage {
    /// Takes the rows of each epoch.
    pub sink: Arc<dyn Sink>,
    /// Returns a fixed view of what is committed at the moment of the call.
    pub cold: Arc<dyn Fn() -> Arc<dyn TableProvider> + Send + Sync>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

/// A table as a build reads it. Nothing is rearranged in it while this is held: epochs add rows, and
/// replace those of windows.
#[async_trait]
pub trait Grown: Send + Sync {
    /// Takes over what was committed since; returns the last epoch that is visible.
    async fn renew(&self) -> Result<Epoch, SinkError>;

    /// Returns what the epochs after `after` added, up to `until`; without `after` all rows that
    /// were there at the end of `until`.
    fn rows(&self, after: Option<Epoch>, until: Epoch) -> Result<GrownRows, SinkError>;

    /// Returns rows among which are all that came, went or changed since what was visible at the
    /// call before; at the first call all rows.
    fn moved(&self) -> Result<Arc<dyn TableProvider>, SinkError>;
}

/// Rows of some epochs of a table.
pub struct GrownRows {
    /// The rows.
    pub rows: Arc<dyn TableProvider>,
    /// How they lie.
    pub parts: Vec<GrownPart>,
}

impl fmt::Debug for GrownRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrownRows").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// Rows that lie together.
#[derive(Debug, Clone, Default)]
pub struct GrownPart {
    /// How many.
    pub rows: u64,
    /// The epoch that added them; none if they are of several.
    pub epoch: Option<Epoch>,
    /// The least and the greatest value of each timestamp column, in microseconds, where known.
    pub times_us: BTreeMap<String, (i64, i64)>,
}

/// Looks at the tables of a flow after each tick; alerts are one.
///
/// Its state is part of the epoch: what `state` returns at the boundary is handed to `restore`
/// after a restart, before the first tick.
#[async_trait]
pub trait Observer: Send {
    /// Called after a tick was published; the next tick waits for it.
    async fn after_tick(&mut self, view: &Arc<View>, changed: &[Name]);

    /// Returns all that it must remember.
    fn state(&self) -> Vec<u8>;

    /// Takes back what `state` returned in the last epoch that counts.
    fn restore(&mut self, state: &[u8]);
}

/// How large ticks and epochs are, and how often they come.
#[derive(Debug, Clone)]
pub struct Settings {
    /// An epoch is made durable this long after the one before.
    pub epoch_every: Duration,
    /// An epoch is made durable when it holds so many bytes of records.
    pub epoch_bytes: usize,
    /// Bytes of records in one tick.
    pub tick_bytes_max: usize,
    /// Hot bytes beyond which ticks wait for the flush under way.
    pub hot_bytes_max: usize,
    /// Groups of one table, where it cannot put some on disk.
    pub groups_max: usize,
    /// Bytes of state of all tables in memory; what is beyond it goes to disk.
    pub state_bytes_max: usize,
    /// Bytes of state on disk.
    pub state_disk_bytes_max: u64,
    /// The longest wait for more records before a tick.
    pub tick_delay_max: Duration,
    /// Memory of one recomputation.
    pub memory_bytes_max: usize,
    /// Room for recomputations with a schedule at the same time, of all flows together.
    pub runs: Arc<Semaphore>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            epoch_every: limits::EPOCH_EVERY,
            epoch_bytes: limits::EPOCH_BYTES,
            tick_bytes_max: limits::TICK_BYTES_MAX,
            hot_bytes_max: limits::HOT_BYTES_MAX,
            groups_max: limits::GROUPS_MAX,
            state_bytes_max: limits::STATE_BYTES_MAX,
            state_disk_bytes_max: limits::STATE_DISK_BYTES_MAX,
            tick_delay_max: limits::TICK_DELAY_MAX,
            memory_bytes_max: limits::QUERY_MEMORY_BYTES_MAX,
            runs: Arc::new(Semaphore::new(limits::RUNS_MAX as usize)),
        }
    }
}
