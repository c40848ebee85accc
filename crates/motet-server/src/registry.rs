//! Who is connected: one small handle per connection, for the timer wheel, for the drain and for the figures.

use crate::wheel::Look;
use motet_core::conversation::add;
use motet_core::mailbox::{Mailbox, Notice};
use motet_core::time::WallMillis;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use tokio::sync::Notify;

const SHARDS: usize = 32;

/// What a connection is, for operators.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// Index of its figures in [`crate::telemetry::PROTOCOLS`].
    pub(crate) protocol: usize,
    pub(crate) encrypted: bool,
    pub(crate) peer: Option<SocketAddr>,
    /// Our end.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) since: WallMillis,
}

/// The part of a connection that others may touch.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: u64,
    pub(crate) about: About,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Wakes the connection's task even while its mailbox is not waited for because its output is full.
    waker: Mutex<Option<Waker>>,
    /// Dropped messages that the log has heard of.
    reported: AtomicU64,
    /// Bytes read and written, by its own task alone.
    bytes: [AtomicU64; 2],
}

impl Handle {
    /// Messages dropped at its bound since this was last asked.
    pub(crate) fn newly_dropped(&self) -> u64 {
        let dropped = self.mailbox.counters().dropped.load(Ordering::Relaxed);
        dropped.saturating_sub(self.reported.swap(dropped, Ordering::Relaxed))
    }

    /// So many bytes came from the peer.
    pub(crate) fn received(&self, count: usize) {
        add(&self.bytes[0], count as u64);
    }

    /// So many bytes went to the peer.
    pub(crate) fn sent(&self, count: usize) {
        add(&self.bytes[1], count as u64);
    }

    /// Bytes read and written so far.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes[0].load(Ordering::Relaxed), self.bytes[1].load(Ordering::Relaxed))
    }

    /// Remembers whom to wake. A task has the same waker all its life, so this is one comparison per poll.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut known = self.waker.lock();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

impl Look for Handle {
    fn look(&self) {
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

type Shard = Mutex<HashMap<u64, Weak<Handle>, foldhash::fast::RandomState>>;

/// All live connections.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Box<[Shard]>,
    next: AtomicU64,
    live: AtomicUsize,
    /// Wakes the drain when the last connection has gone.
    empty: Notify,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Registry {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            next: AtomicU64::new(1),
            live: AtomicUsize::new(0),
            empty: Notify::new(),
        }
    }

    /// A handle for a new connection; give it back with [`Registry::leave`].
    pub(crate) fn enter(&self, mailbox: Arc<Mailbox>, about: About) -> Arc<Handle> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (waker, reported, bytes) = (Mutex::default(), AtomicU64::new(0), Default::default());
        let handle = Arc::new(Handle { id, about, mailbox, waker, reported, bytes });
        self.live.fetch_add(1, Ordering::AcqRel);
        self.shards[id as usize % SHARDS].lock().insert(id, Arc::downgrade(&handle));
        handle
    }

    /// The connection is over.
    pub(crate) fn leave(&self, handle: &Handle) {
        self.shards[handle.id as usize % SHARDS].lock().remove(&handle.id);
        *handle.waker.lock() = None;
        if self.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.empty.notify_waiters();
        }
    }

    /// Connections that have a machine or still flush its last words.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Visits everybody who is here now.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Arc<Handle>)) {
        for shard in &self.shards {
            let handles: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            handles.iter().for_each(&mut visit);
        }
    }

    /// The connection of this number, while it is here.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Handle>> {
        self.shards[id as usize % SHARDS].lock().get(&id).and_then(Weak::upgrade)
    }

    /// Leaves `notice` in every mailbox.
    pub(crate) fn notify_all(&self, notice: &Notice) {
        for shard in &self.shards {
            let handles: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            for handle in handles {
                handle.mailbox.notify(notice.clone());
                handle.look();
            }
        }
    }

    /// Wakes everybody, to look again at what may be done.
    pub(crate) fn look_all(&self) {
        for shard in &self.shards {
            let handles: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            handles.iter().for_each(|handle| handle.look());
        }
    }

    /// Asks every connection to look at what may have changed.
    pub(crate) fn nudge_all(&self) {
        for shard in &self.shards {
            let handles: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            handles.iter().for_each(|handle| handle.mailbox.nudge());
        }
    }

    /// Waits until nobody is connected.
    pub(crate) async fn empty(&self) {
        loop {
            let notified = self.empty.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.live() == 0 {
                return;
            }
            notified.await;
        }
    }
}
