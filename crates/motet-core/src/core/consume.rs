//! Consuming: pulling from a queue, settling, and what the store brings back.

use super::Core;
use super::publish::announce;
use crate::engine::{Engine, Locator, MovedRecord, ObjectId, Position, Stage};
use crate::mailbox::Mailbox;
use crate::message::decode_stored;
use crate::queue::{Body, ConsumerId, Effect, Nack};
use crate::queues::{Inner, QueueCell, Queued, decode_head, locator};
use crate::session::{SESSION_CONSUMER, SessionHandle};
use crate::time::Now;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A message handed to a consumer that will settle it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// By which it is settled; never used again in its queue.
    pub seq: u64,
    /// What was published, and under which promise it is delivered.
    pub queued: Queued,
    /// It may have been seen before.
    pub redelivered: bool,
}

/// What [`Core::take`] says about what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// More is allotted than was taken.
    pub more: bool,
    /// Everything taken is durable once this is; `None` when the queue is not. What must arrive exactly once leaves
    /// only then: a message that a crash takes back would be sent a second time by its publisher.
    pub staged: Option<Position>,
}

impl<E: Engine> Core<E> {
    /// Takes what the session's queue has allotted: at most `max_messages` and about `max_bytes`.
    pub fn take(
        &self,
        now: Now,
        handle: &SessionHandle,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> Took {
        let Some(queue) = handle.session().queue() else { return Took { more: false, staged: None } };
        // Taking may settle what has expired, so a durable queue needs a stage before its lock.
        let stage = queue.is_durable().then(|| self.engine.stage_release());
        // After a takeover these are another connection's; under the stage there is none.
        if !self.is_current(handle) {
            return Took { more: false, staged: None };
        }
        self.take_from(now, (queue, SESSION_CONSUMER), stage, max_messages, max_bytes, out)
    }

    fn take_from(
        &self,
        now: Now,
        (queue, consumer): (&Arc<QueueCell>, ConsumerId),
        mut stage: Option<E::Stage<'_>>,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> Took {
        let mut inner = queue.inner.lock();
        let mut taken = Vec::with_capacity(max_messages.min(256));
        let Inner { queue: q, fx, .. } = &mut *inner;
        let taking = q.take(now.wall.0, consumer, max_messages, max_bytes, &mut taken, fx);
        let wakes = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        let staged = stage.map(Stage::finish);
        announce(queue, wakes);
        let mut delivered = 0;
        for entry in taken {
            if let Body::Resident(queued) = entry.body {
                delivered += 1;
                out.push(Delivery { seq: entry.seq, queued, redelivered: entry.redelivered });
            }
        }
        self.counters.delivered.fetch_add(delivered, Ordering::Relaxed);
        Took { more: taking.more, staged }
    }

    /// The client is done with these, in any order. `notes` change the session's own records in the same group.
    /// Nothing waits for the position unless the protocol answers the acknowledgement.
    pub fn settle(&self, handle: &SessionHandle, seqs: &[u64], notes: &[super::Note<'_>]) -> Option<Position> {
        let queue = handle.session().queue()?;
        let mut stage = queue.is_durable().then(|| self.engine.stage_release());
        if !self.is_current(handle) {
            return None;
        }
        let mut inner = queue.inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        for &seq in seqs {
            // A sequence that is not in flight is the client's mistake or a late answer; the machine judges that.
            let _ = q.ack(SESSION_CONSUMER, seq, fx);
        }
        let wakes = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        announce(queue, wakes);
        if let Some(stage) = &mut stage
            && !notes.is_empty()
        {
            self.stage_notes(handle, notes, stage);
        }
        stage.map(Stage::finish)
    }

    /// These were taken and never sent: they return to their places as if nobody had taken them.
    pub fn give_back(&self, now: Now, handle: &SessionHandle, seqs: &[u64]) {
        let Some(queue) = handle.session().queue() else { return };
        let mut stage = queue.is_durable().then(|| self.engine.stage_release());
        if !self.is_current(handle) {
            return;
        }
        let mut inner = queue.inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        for &seq in seqs {
            // One that is not in flight is none of the queue's any more.
            let _ = q.nack(now.wall.0, SESSION_CONSUMER, seq, Nack::Unsent, fx);
        }
        let wakes = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        drop(stage);
        announce(queue, wakes);
    }

    /// Does what a queue's effects ask for, under its lock; returns whom to wake after letting go of it.
    pub(super) fn carry_out<S: Stage>(
        &self,
        cell: &QueueCell,
        inner: &mut Inner,
        mut stage: Option<&mut S>,
    ) -> SmallVec<[Arc<Mailbox>; 1]> {
        let mut wakes = SmallVec::new();
        self.weigh(cell, inner);
        let expired = inner.queue.expired_total();
        if expired > inner.expired {
            self.counters.expired.fetch_add(expired - inner.expired, Ordering::Relaxed);
            inner.expired = expired;
        }
        if inner.fx.is_empty() {
            return wakes;
        }
        let Inner { fx, consumers, queue, .. } = inner;
        for effect in fx.drain() {
            match effect {
                Effect::Wake(id) => wakes.extend(consumers.iter().find(|(c, _)| *c == id).map(|(_, m)| m.clone())),
                Effect::Settled { seq, locator: at } => {
                    if let (Some(stage), Some(at)) = (stage.as_deref_mut(), at) {
                        stage.settle(cell.id(), seq, locator(at));
                    }
                }
                Effect::NeedRead { entries } => {
                    self.engine.read(cell.id(), entries.into_iter().map(|(seq, at)| (seq, locator(at))).collect());
                }
                // Sessions' queues have no dead-letter address and no expiry of their own.
                Effect::DeadLetter(_) => debug_assert!(false, "a session's queue dead-letters nothing"),
                Effect::Activated(_) | Effect::Cancelled(_) | Effect::PageOut { .. } | Effect::QueueExpired => {}
            }
        }
        if cell.is_durable()
            && let Some(at) = queue.next_deadline()
        {
            self.timers.queue_at(at, cell.id());
        }
        wakes
    }

    /// The store brings bodies that were paged out.
    pub(super) fn loaded(&self, queue: ObjectId, entries: Vec<(u64, Option<Bytes>)>) {
        let Some(cell) = self.queue(queue) else { return };
        let mut stage = self.engine.stage_release();
        let mut inner = cell.inner.lock();
        for (seq, bytes) in entries {
            let queued = bytes.and_then(|bytes| decode_queued(&bytes));
            let Inner { queue: q, fx, .. } = &mut *inner;
            match queued {
                Some(queued) => {
                    q.loaded(seq, queued, fx);
                }
                None => {
                    self.counters.damaged.fetch_add(1, Ordering::Relaxed);
                    q.load_failed(seq, fx);
                }
            }
        }
        let wakes = self.carry_out(&cell, &mut inner, Some(&mut stage));
        drop(inner);
        announce(&cell, wakes);
    }

    /// A record has moved in the journal.
    pub(super) fn moved(&self, object: ObjectId, what: &MovedRecord, old: Locator, new: Locator) {
        match what {
            MovedRecord::Entry(seq) => {
                if let Some(cell) = self.queue(object) {
                    cell.inner.lock().queue.relocated(*seq, new.0.get());
                }
            }
            MovedRecord::Key(key) => self.key_moved(object, key, old, new),
        }
    }
}

/// A queue's record as the store returns it: the length of the queue's note, the note, the stored message.
fn decode_queued(bytes: &[u8]) -> Option<Queued> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (head, stored) = rest.split_at_checked(u16::from_le_bytes(*len) as usize)?;
    let head = decode_head(head)?;
    Some(Queued { message: decode_stored(stored).ok()?, grant: Arc::new(head.grant), retained: head.retained })
}
