//! A flow: reads its streams, computes its tables, hands them over epoch by epoch.

use std::sync::Arc;

use base::Epoch;

use crate::error::Error;
use crate::handle::FlowHandle;
use crate::replay::{Replay, Replayed};
use crate::setup::Setup;
use crate::stats::Stats;
use crate::view::View;

/// A flow that stands still: driven step by step, or set going by [`Flow::run`].
pub struct Flow {
    setup: Setup,
}

impl Flow {
    /// Recovers the flow: finishes the last epoch, loads its state, finds its positions.
    pub async fn open(setup: Setup) -> Result<Flow, Error> {
        std::future::ready(Ok(Flow { setup })).await
    }

    /// Takes in what has arrived (at most one tick's worth), and returns how many records.
    pub async fn tick(&mut self) -> Result<u64, Error> {
        std::future::ready(Err(Error::Stopped { reason: None })).await
    }

    /// Makes all that was ticked durable.
    pub async fn flush(&mut self) -> Result<Epoch, Error> {
        std::future::ready(Err(Error::Stopped { reason: None })).await
    }

    /// Sends rejects through today's decoder and checks, each once.
    pub async fn replay(&mut self, _: Replay) -> Result<Replayed, Error> {
        std::future::ready(Err(Error::Stopped { reason: None })).await
    }

    /// Returns all tables as of the last tick.
    pub fn view(&self) -> Arc<View> {
        Arc::default()
    }

    /// Returns what the flow did.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::default()
    }

    /// Sets the flow going on a thread of its own; must be called within a tokio runtime.
    pub fn run(self) -> Result<FlowHandle, Error> {
        drop(self.setup);
        Err(Error::Stopped { reason: None })
    }
}
