//! Background tasks that have a name and whose panics are seen.

use std::future::Future;
use std::io;

use tokio::task::JoinHandle;

/// Runs `future` in the background; a panic in it is logged with the task's name.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns tasks")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(async move {
        let watched = Watched(name);
        let output = future.await;
        drop(watched);
        output
    })
}

/// Starts a named thread.
pub fn thread<F>(name: &'static str, body: F) -> io::Result<std::thread::JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let watched = Watched(name);
        body();
        drop(watched);
    })
}

/// Says so when it is dropped by a panic.
struct Watched(&'static str);

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "task panicked: this is a fault of the program");
        }
    }
}
