//! The thread on which time passes: timer wheel, the core's tick, looks at disk and memory.
//!
//! It is a thread of its own because a timer among the threads that carry bytes is not free for them: whoever comes out
//! of its wait with a timer **and** a readable socket calls a second thread to help, that one takes the socket over, and the
//! next messages are served on another processor. Twenty such hand-overs a second are most of what is beyond the 98th
//! percentile at a thousand messages a second.

use crate::error::ServerError;
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Runs futures that wait for time, for as long as it lives. What is left then is dropped unfinished.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    runtime: Handle,
    stop: Arc<Notify>,
}

impl Timekeeper {
    pub(crate) fn start() -> Result<Self, ServerError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ServerError::System)?;
        let stop = Arc::new(Notify::new());
        let (handle, stopped) = (runtime.handle().clone(), stop.clone());
        let thread = std::thread::Builder::new().name("motet-time".into());
        thread.spawn(move || runtime.block_on(stopped.notified())).map_err(ServerError::System)?;
        Ok(Timekeeper { runtime: handle, stop })
    }

    /// Begins `future`. It must not block: everything that waits for time waits with it.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.runtime.spawn(future)
    }
}

impl Drop for Timekeeper {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_it_runs_is_off_the_threads_that_carry_bytes_and_can_be_waited_for() {
        let time = Timekeeper::start().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        let task = time.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
        });
        task.await.unwrap();
        assert_eq!(told.await.unwrap().as_deref(), Some("motet-time"));
    }

    #[tokio::test]
    async fn what_is_unfinished_when_it_goes_is_dropped() {
        let time = Timekeeper::start().unwrap();
        let task = time.spawn(std::future::pending());
        drop(time);
        assert!(task.await.unwrap_err().is_cancelled());
    }
}
