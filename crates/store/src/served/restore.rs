//! Going back to an earlier version of a table that is served: the index of its rows is built again.

use std::sync::Arc;

use crate::error::Error;
use crate::history::AsOf;
use crate::served::Served;
use crate::snapshot::Restored;

impl Served {
    /// Lets the rows of an earlier version be the table's again and begins to build the index of them;
    /// nothing is found by key until it is there.
    ///
    /// # Errors
    /// As [`crate::LakeTable::restore`], and while the index is being built.
    pub async fn restore(self: &Arc<Self>, asked: AsOf) -> Result<Restored, Error> {
        // No epoch is half-way into the index, and the next one finds that it is being built.
        let _turn = self.turn.lock().await;
        if self.building().is_some() {
            return Err(self.behind());
        }
        // INVARIANT: the index is forgotten before the table is another. A crash in between, or a
        // version that cannot be written, costs the building of an index and no more.
        let forget = || self.serving.forget(self.table.name());
        let restored = self.table.restore_once(asked, forget).await;
        if self.told().map_err(|it| self.of_index(it))?.is_none() {
            self.build().await?;
        }
        restored
    }
}
