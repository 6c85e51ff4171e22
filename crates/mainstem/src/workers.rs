//! Threads of their own for work that shall not hold up the doors, at a lower priority.

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that end when they are dropped; what runs on them ends where it next waits.
pub(crate) struct Workers(Option<Runtime>);

/// Steps after which a thread looks for work from outside and for what came from disk and network:
/// steps are long here.
const LOOK_EVERY: u32 = 4;

impl Workers {
    /// Starts threads whose priority is lower by `nice`.
    pub(crate) fn start(name: &'static str, threads: usize, nice: i32) -> anyhow::Result<Workers> {
        // On Linux that is of the thread alone.
        let lower = move || {
            if let Err(error) = rustix::process::nice(nice) {
                tracing::debug!(%error, threads = name, "threads cannot have a lower priority");
            }
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .on_thread_start(lower)
            .global_queue_interval(LOOK_EVERY)
            .event_interval(LOOK_EVERY)
            .enable_all()
            .build()
            .with_context(|| format!("no threads for {name}"))?;
        Ok(Workers(Some(runtime)))
    }

    /// Returns where to run work; none once they are dropped.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<T>> {
        self.0.as_ref().map(|it| it.spawn(work))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
