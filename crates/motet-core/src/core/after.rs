//! What a call on a queue asks for once the queue's lock is let go of.

use super::Core;
use super::broker::{Appended, Letter};
use crate::core::broker::NamedQueue;
use crate::engine::Engine;
use crate::mailbox::{Mailbox, Notice, Ready};
use crate::message::Batch;
use crate::queues::QueueCell;
use crate::route::Route;
use crate::time::Now;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// Collected under queues' locks, carried out without them.
#[derive(Debug, Default)]
pub(super) struct After {
    /// Whom to wake.
    pub(super) wakes: SmallVec<[(Arc<Mailbox>, Ready); 1]>,
    /// Whom to tell what.
    pub(super) notices: Vec<(Arc<Mailbox>, Notice)>,
    /// What died, to be moved before the stage ends.
    pub(super) letters: VecDeque<Letter>,
    /// Batches of dead letters for subscribers that need no queue.
    pub(super) direct: Vec<(Arc<Route>, Arc<Batch>)>,
    /// What was appended to streams.
    pub(super) appended: Vec<Appended>,
    /// Queues nobody used for as long as they may be unused.
    pub(super) unused: Vec<Arc<NamedQueue>>,
    /// The place in its batch of the first message that a queue refused.
    pub(super) first_refused: Option<usize>,
}

impl After {
    /// A queue refused the message at this place of its batch.
    pub(super) fn note_refused(&mut self, index: usize) {
        self.first_refused = Some(self.first_refused.map_or(index, |known| known.min(index)));
    }
}

/// Tells consumers what there is; outside the queue's lock.
pub(super) fn announce(_queue: &QueueCell, after: After) {
    debug_assert!(after.letters.is_empty() && after.unused.is_empty(), "a session's queue has neither");
    tell(after.wakes, after.notices);
}

fn tell(wakes: impl IntoIterator<Item = (Arc<Mailbox>, Ready)>, notices: Vec<(Arc<Mailbox>, Notice)>) {
    for (mailbox, ready) in wakes {
        mailbox.announce(ready);
    }
    for (mailbox, notice) in notices {
        mailbox.notify(notice);
    }
}

impl<E: Engine> Core<E> {
    /// Carries out what is left once the stage has ended: others stage meanwhile.
    pub(super) fn carry_on(&self, now: Now, after: After) {
        debug_assert!(after.letters.is_empty(), "dead letters are moved within the stage");
        if !after.appended.is_empty() {
            self.place_appended(after.appended);
        }
        tell(after.wakes, after.notices);
        for (route, batch) in after.direct {
            self.push_subscribers(0, &route, &batch);
        }
        for queue in after.unused {
            self.expire_queue(now, &queue);
        }
    }
}
