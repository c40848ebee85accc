//! A few threads and a bounded queue in front of them.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    jobs_max: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    closed: bool,
}

/// Runs jobs on its threads; joins them when dropped, and drops what then still waits.
pub(crate) struct Pool<J> {
    queue: Arc<Queue<J>>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static> Pool<J> {
    /// Starts `threads` threads (at least one) that give each job to `work`, oldest first; at most `jobs_max` (at
    /// least one) wait.
    pub(crate) fn start(threads: usize, jobs_max: usize, work: impl Fn(J) + Send + Sync + 'static) -> io::Result<Self> {
        let state = Mutex::new(State { jobs: VecDeque::new(), closed: false });
        let queue = Arc::new(Queue { state, changed: Condvar::new(), jobs_max: jobs_max.max(1) });
        let work = Arc::new(work);
        // Collected one by one into the pool, so that a thread that cannot be started ends those that were.
        let mut pool = Pool { queue, threads: Vec::new() };
        for number in 0..threads.max(1) {
            let (queue, work) = (pool.queue.clone(), work.clone());
            let thread = thread::Builder::new().name(format!("motet-auth-{number}"));
            pool.threads.push(thread.spawn(move || {
                while let Some(job) = queue.next() {
                    // The panic hook has told of it; the thread lives on for the other jobs.
                    let _ = panic::catch_unwind(AssertUnwindSafe(|| work(job)));
                }
            })?);
        }
        Ok(pool)
    }

    /// Gives the job back when too many wait.
    pub(crate) fn submit(&self, job: J) -> Result<(), J> {
        let mut state = self.queue.state.lock();
        if state.jobs.len() >= self.queue.jobs_max {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }
}

impl<J> Queue<J> {
    /// Waits for a job; none when the pool is being dropped.
    fn next(&self) -> Option<J> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            self.changed.wait(&mut state);
        }
    }
}

impl<J> Drop for Pool<J> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.jobs);
        // What a job does when dropped must not happen under the lock.
        drop(state);
        drop(waiting);
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // The last owner may be something a job let go of, on one of our own threads: it ends by itself.
            if thread.thread().id() != thread::current().id() {
                // Never an error: panics of jobs are caught on the thread.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    /// A job that lasts until its sender is dropped or sends.
    fn wait_for(signal: Receiver<()>) {
        let _ = signal.recv();
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let (started, has_started) = channel();
        let pool = Pool::start(1, 2, move |signal| {
            started.send(()).unwrap();
            wait_for(signal);
        })
        .unwrap();
        let (first, signal) = channel();
        assert!(pool.submit(signal).is_ok());
        has_started.recv().unwrap();
        let mut releases = vec![first];
        for fits in [true, true, false, false] {
            let (release, signal) = channel();
            assert_eq!(pool.submit(signal).is_ok(), fits);
            releases.push(release);
        }
        drop(releases);
    }

    #[test]
    fn dropping_the_pool_ends_the_running_job_and_drops_those_that_wait() {
        struct Counted(Arc<AtomicUsize>, Option<Receiver<()>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (started, has_started) = channel();
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = ran.clone();
        let pool = Pool::start(1, 10, move |mut job: Counted| {
            counter.fetch_add(1, Ordering::SeqCst);
            started.send(()).unwrap();
            wait_for(job.1.take().unwrap());
        })
        .unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut releases = Vec::new();
        for _ in 0..3 {
            let (release, signal) = channel();
            releases.push(release);
            assert!(pool.submit(Counted(dropped.clone(), Some(signal))).is_ok());
        }
        has_started.recv().unwrap();
        drop(releases);
        drop(pool);
        // However many had begun, all are gone and no thread is left.
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
        assert!(ran.load(Ordering::SeqCst) >= 1);
    }

    #[test]
    fn a_job_may_drop_the_pool_that_runs_it() {
        type Anything = Box<dyn std::any::Any + Send>;
        let (done, is_done) = channel();
        let (give, given) = channel::<Anything>();
        let pool = Pool::start(1, 1, move |job: Receiver<Anything>| {
            drop(job.recv());
            done.send(()).unwrap();
        })
        .unwrap();
        assert!(pool.submit(given).is_ok());
        give.send(Box::new(pool)).unwrap();
        is_done.recv().unwrap();
    }

    #[test]
    fn a_job_that_panics_does_not_end_its_thread() {
        let (done, is_done) = channel();
        let pool = Pool::start(1, 2, move |number: u32| {
            assert!(number != 1, "this panic belongs to a test");
            done.send(number).unwrap();
        })
        .unwrap();
        assert!(pool.submit(1).is_ok());
        assert!(pool.submit(2).is_ok());
        assert_eq!(is_done.recv(), Ok(2));
    }
}
