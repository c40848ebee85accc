//! A queue is recovered, purged, deleted: the three calls that may walk over everything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::config::QueueConfig;
use super::effect::{ConsumerId, Effects};
use super::entries::Entries;
use super::level::Levels;
use super::slot::{Slot, State};
use super::{Handle, Queue};

/// A message that survived, as the journal knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredEntry {
    /// Its sequence number; greater than the one before.
    pub seq: u64,
    /// Where its body is.
    pub locator: u64,
    /// Bytes it counts for.
    pub bytes: u32,
    /// Its priority, as enqueued.
    pub priority: u8,
    /// Wall milliseconds after which it is stale (the queue's TTL included).
    pub expires_at_ms: Option<u64>,
    /// Wall milliseconds before which it is not delivered.
    pub deliver_at_ms: Option<u64>,
    /// Failed attempts so far.
    pub delivery_count: u16,
    /// A consumer may have seen it: it is marked as redelivered.
    pub may_have_been_sent: bool,
}

/// Why a queue was not deleted. // AMQP 0-9-1 queue.delete: 406 PRECONDITION_FAILED
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteRefused {
    /// `if_unused` was asked for, and it has this many consumers.
    #[error("the queue is in use by {0} consumers")]
    InUse(u64),
    /// `if_empty` was asked for, and it has this many messages.
    #[error("the queue has {0} messages")]
    NotEmpty(u64),
}

impl<M: Handle> Queue<M> {
    /// Rebuilds a queue from what the journal kept, in sequence order; bodies stay on disk until they are near the head. `last_seq` is the
    /// greatest number ever given out, so that none is used twice. An entry out of order is our bug and is left out.
    pub fn recover(
        config: impl Into<Arc<QueueConfig>>,
        entries: impl IntoIterator<Item = RecoveredEntry>,
        last_seq: u64,
        now_ms: u64,
    ) -> Self {
        let mut queue = Self::starting_after(config.into(), 0, now_ms);
        for entry in entries {
            debug_assert!(entry.seq >= queue.entries.next_seq(), "recovered in sequence order");
            if entry.seq >= queue.entries.next_seq() {
                // Usually all or none: then nothing stands apart.
                if entry.may_have_been_sent && queue.sent_through == queue.last_recovered() {
                    queue.sent_through = entry.seq;
                }
                queue.recover_one(entry, now_ms);
            }
        }
        queue.entries.skip_to(queue.entries.next_seq().max(last_seq + 1));
        queue.pager.end = queue.entries.next_seq();
        queue
    }

    fn recover_one(&mut self, entry: RecoveredEntry, now_ms: u64) {
        let priority = entry.priority.min(self.config.max_priority);
        let due = entry.deliver_at_ms.filter(|due| *due > now_ms);
        let state = if due.is_some() { State::Delayed } else { State::Ready };
        let mut slot = Slot::new(state, entry.bytes, priority, true);
        slot.locator = entry.locator;
        slot.attempts = entry.delivery_count;
        if entry.may_have_been_sent || entry.delivery_count > 0 {
            slot.set_redelivered();
        }
        self.entries.skip_to(entry.seq);
        let seq = self.entries.push(slot, None, entry.expires_at_ms);
        self.stats.waiting_bytes += u64::from(entry.bytes);
        self.stats.persistent_bytes += u64::from(entry.bytes);
        match due {
            Some(due) => {
                self.delayed.push(Reverse((due, seq)));
                self.stats.delayed += 1;
            }
            None => {
                match slot.redelivered() && seq > self.sent_through {
                    true => self.levels.push_returned(priority, seq),
                    false => self.levels.push_fresh(priority, seq),
                }
                self.stats.ready += 1;
            }
        }
    }

    /// The last sequence that was recovered; zero before the first.
    fn last_recovered(&self) -> u64 {
        if self.stats.ready + self.stats.delayed == 0 { 0 } else { self.last_seq() }
    }

    /// Nobody takes for now: gives back what was only kept to be used again soon. An empty queue then costs itself.
    pub fn rest(&mut self) {
        self.consumers.rest();
        if self.stats.messages() == 0 {
            self.entries = Entries::starting_at(self.entries.next_seq());
            self.levels = Levels::default();
            self.delayed = BinaryHeap::new();
        }
    }

    /// Nothing in it, nobody there, no time and no read to wait for: nothing is lost when only its totals are kept.
    pub(super) fn may_sleep(&self) -> bool {
        self.stats.messages() == 0
            && !self.pager.is_loading()
            && self.consumers.is_empty()
            && self.dedup.is_none()
            && self.next_deadline().is_none()
    }

    /// Settles what waits, ready or delayed, and then what cannot be read, `most` of it at most; what consumers hold stays
    /// theirs. Returns how many went.
    pub fn purge(&mut self, most: u64, fx: &mut Effects<M>) -> u64 {
        let mut purged = 0;
        while purged < most
            && let Some(priority) = self.levels.highest()
        {
            let seq = self.pop_ready(priority).expect("an occupied level has a head");
            self.finish(seq, true, fx);
            purged += 1;
        }
        while purged < most
            && let Some(seq) = self.pop_delayed()
        {
            self.finish(seq, true, fx);
            purged += 1;
        }
        while purged < most
            && let Some(seq) = self.set_aside.pop()
        {
            self.stats.set_aside -= 1;
            self.finish(seq, true, fx);
            purged += 1;
        }
        purged
    }

    /// Messages that wait for no consumer yet. What is allotted to one is as good as with it, though it has yet to come for it.
    pub fn unclaimed(&self) -> u64 {
        self.stats.ready.saturating_sub(self.consumers.allotted())
    }

    /// The same for one who fetches: its own allotment is no other's.
    pub fn unclaimed_for(&self, id: ConsumerId) -> u64 {
        let own = self.consumers.find(id).and_then(|index| self.consumers.get(index)).map_or(0, |c| c.allotted);
        self.stats.ready.saturating_sub(self.consumers.allotted() - u64::from(own))
    }

    /// A purge that leaves consumers what is allotted to them: the head of the queue. Costs as much as both together.
    pub fn purge_unclaimed(&mut self, most: u64, fx: &mut Effects<M>) -> u64 {
        let claimed = self.consumers.allotted().min(self.stats.ready);
        let mut aside = Vec::new();
        while (aside.len() as u64) < claimed
            && let Some(priority) = self.levels.highest()
        {
            aside.extend(self.pop_ready(priority));
        }
        let purged = self.purge(most, fx);
        for seq in aside {
            let (bytes, priority) = (u64::from(self.slot(seq).bytes), self.slot(seq).priority);
            self.stats.ready += 1;
            self.stats.waiting_bytes += bytes;
            self.levels.push_returned(priority, seq);
        }
        purged
    }

    /// Ends the queue: every consumer is told, every message is forgotten without a word each (the caller writes one tombstone for the
    /// queue). Returns how many messages were ready.
    pub fn delete(&mut self, if_unused: bool, if_empty: bool, fx: &mut Effects<M>) -> Result<u64, DeleteRefused> {
        // What consumers hold does not stand in the way, as in RabbitMQ; what cannot be read does.
        let (consumers, messages) = (self.consumers.count(), self.stats.waiting() + self.stats.set_aside);
        if if_unused && consumers > 0 {
            return Err(DeleteRefused::InUse(consumers));
        }
        if if_empty && messages > 0 {
            return Err(DeleteRefused::NotEmpty(messages));
        }
        let ready = self.stats.ready;
        self.cancel_all(fx);
        let last_seq = self.last_seq();
        *self = Self::starting_after(self.config.clone(), last_seq, self.last_used_ms);
        self.expiry_told = true;
        debug_assert_eq!(self.consumers.count(), 0, "a deleted queue has nobody");
        Ok(ready)
    }

    /// The message is still here, whatever its state.
    pub fn holds(&self, seq: u64) -> bool {
        self.entries.slot(seq).is_some_and(|slot| slot.state() != State::Gone)
    }

    /// Where the record of a message is, if it has one.
    pub fn locator_of(&self, seq: u64) -> Option<u64> {
        self.entries.slot(seq)?.locator()
    }

    /// When a message goes stale, the queue's TTL included.
    pub fn expires_at(&self, seq: u64) -> Option<u64> {
        self.entries.slot(seq)?;
        self.entries.expires_at(seq)
    }

    /// Remembers the identifier of a message that was accepted before a restart, unless its window is over.
    pub fn remember(&mut self, at_ms: u64, now_ms: u64, seq: u64, id: &[u8]) {
        if let Some(dedup) = &mut self.dedup
            && !dedup.knows(now_ms, id)
        {
            dedup.remember(at_ms, seq, id);
        }
    }

    /// A policy changed. Limits hold at once, TTL for the messages that come; priorities, the single active consumer,
    /// the owner and durability are what they were at declaration.
    pub fn reconfigure(&mut self, config: impl Into<Arc<QueueConfig>>, fx: &mut Effects<M>) {
        let old = std::mem::replace(&mut self.config, config.into());
        let fixed =
            |config: &QueueConfig| (config.max_priority, config.single_active_consumer, config.owner, config.durable);
        if fixed(&old) != fixed(&self.config) {
            let config = Arc::make_mut(&mut self.config);
            config.max_priority = old.max_priority;
            config.single_active_consumer = old.single_active_consumer;
            config.owner = old.owner;
            config.durable = old.durable;
        }
        if self.config.dedup != old.dedup {
            self.dedup = self.config.dedup.map(super::Dedup::boxed);
        }
        self.settle_in(fx);
    }
}
