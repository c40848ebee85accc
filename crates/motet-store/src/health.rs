//! Why the journal takes on nothing durable for now, and the telling of it: once when the first trouble begins, once when
//! the last one ends.
//!
//! The committer, the keeper and whoever sees a worker die write here, each its own trouble; the end of one says nothing
//! about the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::events::Events;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Trouble {
    /// The committer's last attempt failed.
    Writing = 1,
    /// A reserve was spent and could not be kept again yet; see `reserve.rs`.
    Room = 2,
    /// A worker panicked. Nobody knows what it left undone: only a start mends that.
    Worker = 4,
}

/// All troubles of one journal.
pub(crate) struct Health {
    events: Arc<dyn Events>,
    /// The sum of the troubles there are; changed under `telling` only.
    troubles: AtomicU8,
    /// Held while the user is told, so that the last word is the latest.
    telling: Mutex<()>,
}

impl Health {
    pub(crate) fn new(events: Arc<dyn Events>) -> Self {
        Self { events, troubles: AtomicU8::new(0), telling: Mutex::new(()) }
    }

    /// Is this the matter?
    pub(crate) fn has(&self, trouble: Trouble) -> bool {
        self.troubles.load(Ordering::Acquire) & trouble as u8 != 0
    }

    /// Nothing is the matter.
    pub(crate) fn is_well(&self) -> bool {
        self.troubles.load(Ordering::Acquire) == 0
    }

    /// A trouble is there; true when it was not before.
    pub(crate) fn begin(&self, trouble: Trouble, reason: &str) -> bool {
        let _telling = self.telling.lock();
        let before = self.troubles.fetch_or(trouble as u8, Ordering::AcqRel);
        if before == 0 {
            self.events.failed(reason);
        }
        before & trouble as u8 == 0
    }

    /// A trouble is over, if it was there.
    pub(crate) fn end(&self, trouble: Trouble) {
        if !self.has(trouble) {
            return;
        }
        let _telling = self.telling.lock();
        let before = self.troubles.fetch_and(!(trouble as u8), Ordering::AcqRel);
        if before == trouble as u8 {
            self.events.recovered_room();
        }
    }
}
