//! A queue as a pure value: calls and the time go in, a verdict and effects come out.
//!
//! ```text
//!  publisher ── enqueue ─▶ ┌───────────────── Queue ──────────────────┐
//!  journal ──── placed ──▶ │ entries  every message by its sequence   │ ─▶ Effects: Wake, Settled, DeadLetter,
//!  consumer ─── take ────▶ │ levels   what is ready, highest first    │    NeedRead, Activated, …
//!  consumer ─── ack, nack ▶│ delayed  what is not due yet             │
//!  timer ─── on_deadline ─▶│ consumers  credit, ring, what they hold  │ ─▶ next_deadline: the queue's only timer
//!  journal ──── loaded ──▶ └──────────────────────────────────────────┘
//! ```
//!
//! There is no lock, clock, IO or engine in here. *The law: the caller holds the lock of the queue around a call, stages the journal
//! records the effects name before it lets go, and then carries out the rest (wake consumers, route dead letters, read pages).*
//!
//! ```
//! use motet_core::queue::{Body, ConsumerId, ConsumerOptions, Effect, Effects, NewEntry, Queue, QueueConfig, Verdict};
//!
//! let (mut queue, mut fx) = (Queue::new(QueueConfig::default(), 0), Effects::new());
//! let worker = ConsumerId(1);
//! queue.add_consumer(worker, ConsumerOptions { credit: Some(10), ..ConsumerOptions::default() }, &mut fx).unwrap();
//!
//! let letter = NewEntry {
//!     message: "hello", bytes: 5, priority: 0, expires_at_ms: None, deliver_at_ms: None, dedup_id: None, persistent: true,
//! };
//! assert_eq!(queue.enqueue(0, letter, &mut fx), Verdict::Enqueued { seq: 1 });
//! queue.placed(1, 4096); // its record was staged there, under the same lock
//! assert!(matches!(fx.drain().next(), Some(Effect::Wake(id)) if id == worker));
//!
//! let mut window = Vec::new();
//! let turn = queue.take(0, worker, 100, 64 << 10, &mut window, &mut fx);
//! assert!(!turn.more && window[0].body == Body::Resident("hello"));
//! queue.ack(worker, window[0].seq, &mut fx).unwrap();
//! assert_eq!(fx.drain().next(), Some(Effect::Settled { seq: 1, locator: Some(4096) }));
//! ```
//!
//! **Invariants**
//! - A sequence number is never used twice, and never changes: a message that comes back has the place it had, by the order key
//!   (priority descending, sequence ascending).
//! - Every message is in exactly one state. *Ready*: its level has it once. *Delayed*: the delay heap has it once. *Unacked*: exactly
//!   one consumer's list has it, and the hold points there and back. *Moving*: a dead-letter effect was given out.
//! - A ready message leaves at the head of its level, a delayed one at the head of the delay heap. Hence neither holds stale numbers,
//!   and nothing searches.
//! - A body is dropped from memory only when its locator is known. What is not resident can be read.
//! - No call walks over all messages, except `delete` and `recover`.
//!
//! | file | idea |
//! |---|---|
//! | `config.rs`, `effect.rs`, `stats.rs` | the vocabulary |
//! | `slot.rs`, `chunk.rs`, `entries.rs` | where messages are |
//! | `level.rs` | which is next |
//! | `consumer.rs`, `holding.rs`, `dispatch.rs` | who takes, what they hold, whose turn it is |
//! | `enqueue.rs`, `take.rs`, `settle.rs` | in, out, and back |
//! | `expiry.rs` | what time does |
//! | `dedup.rs`, `paging.rs`, `dead_letter.rs` | a duplicate, a deep queue, a message that died |
//! | `lifecycle.rs`, `sent.rs` | recovery, purge, deletion; what was sent before |
//! | `sleeper.rs` | an empty queue that nobody takes from |

mod chunk;
mod config;
mod consumer;
pub mod dead_letter;
mod dedup;
mod dispatch;
mod effect;
mod enqueue;
mod entries;
mod expiry;
mod holding;
mod level;
mod lifecycle;
mod paging;
mod sent;
mod settle;
mod sleeper;
mod slot;
mod stats;
mod take;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

pub use config::{DedupWindow, MemoryWindow, Overflow, QueueConfig, RetryBackoff};
pub use consumer::{AckMode, ConsumeError, ConsumerOptions};
pub use effect::{
    Body, ConsumerId, DeadLetter, DeadReason, Effect, Effects, Handle, NewEntry, RejectReason, Taken, Verdict,
};
pub use expiry::SLICE;
pub use lifecycle::{DeleteRefused, RecoveredEntry};
pub use sent::SentMarks;
pub use settle::{Leaving, Nack, UnknownDelivery};
pub use sleeper::Sleeper;
pub use stats::{Departures, QueueStats};
pub use take::Taking;

use dedup::Dedup;
use dispatch::Consumers;
use entries::Entries;
use level::Levels;
use paging::Pager;
use slot::{Slot, State};

/// Ordered messages, competing consumers, settlement in any order. See the module's page for the law of its use.
pub struct Queue<M> {
    /// Shared: a hundred thousand sessions are declared alike.
    config: Arc<QueueConfig>,
    entries: Entries<M>,
    levels: Levels,
    /// (due, sequence): delayed at arrival or waiting for a retry.
    delayed: BinaryHeap<Reverse<(u64, u64)>>,
    pager: Pager,
    consumers: Consumers,
    dedup: Option<Box<Dedup>>,
    /// Everything up to here may have been sent before a start that could not know.
    sent_through: u64,
    stats: QueueStats,
    /// `None` until somebody fetches, or takes without acknowledging: sessions never do.
    departures: Option<Box<Departures>>,
    last_used_ms: u64,
    /// `QueueExpired` was said for this idle time.
    expiry_told: bool,
    /// There was more to drop for the limits than one call does.
    trimming: bool,
}

impl<M: Handle> Queue<M> {
    /// An empty queue. Sequence numbers begin at 1.
    pub fn new(config: impl Into<Arc<QueueConfig>>, now_ms: u64) -> Self {
        Self::starting_after(config.into(), 0, now_ms)
    }

    fn starting_after(config: Arc<QueueConfig>, last_seq: u64, now_ms: u64) -> Self {
        Self {
            consumers: Consumers::new(config.single_active_consumer),
            dedup: config.dedup.map(Dedup::boxed),
            config,
            entries: Entries::starting_at(last_seq + 1),
            levels: Levels::default(),
            delayed: BinaryHeap::new(),
            pager: Pager::default(),
            sent_through: 0,
            stats: QueueStats::default(),
            departures: None,
            last_used_ms: now_ms,
            expiry_told: false,
            trimming: false,
        }
    }

    /// How the queue was declared.
    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// Gauges and totals, in constant time.
    pub fn stats(&self) -> QueueStats {
        self.stats
    }

    /// How messages left, where that is not what [`Queue::stats`] says of all.
    pub fn departures(&self) -> Departures {
        self.departures.as_deref().copied().unwrap_or_default()
    }

    /// The last sequence number given out; 0 when none was.
    pub fn last_seq(&self) -> u64 {
        self.entries.next_seq() - 1
    }

    /// Heap bytes of the queue's own structures; the bodies' memory is in [`QueueStats::resident_bytes`].
    pub fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes() + self.levels.heap_bytes() + self.delayed.capacity() * 16
    }

    fn slot(&self, seq: u64) -> &Slot {
        self.entries.slot(seq).expect("a message the queue still has")
    }

    fn slot_mut(&mut self, seq: u64) -> &mut Slot {
        self.entries.slot_mut(seq).expect("a message the queue still has")
    }

    /// Takes the body out of memory and out of the account.
    fn evict_body(&mut self, seq: u64) -> Option<M> {
        let body = self.entries.take_body(seq)?;
        self.stats.resident -= 1;
        self.stats.resident_bytes -= u64::from(self.slot(seq).bytes);
        Some(body)
    }

    /// Ends a message's life. A persistent one is settled in the journal, unless the caller does that in a batch of its own.
    fn finish(&mut self, seq: u64, settle: bool, fx: &mut Effects<M>) -> Option<M> {
        let (slot, body) = self.entries.remove(seq).expect("a message ends once");
        self.entries.tend();
        if body.is_some() {
            self.stats.resident -= 1;
            self.stats.resident_bytes -= u64::from(slot.bytes);
        }
        if slot.persistent() {
            self.stats.persistent_bytes -= u64::from(slot.bytes);
        }
        if let Some(dedup) = &mut self.dedup {
            dedup.gone(seq);
        }
        if settle && slot.persistent() {
            fx.push(Effect::Settled { seq, locator: slot.locator() });
        }
        body
    }

    /// A message leaves by the back door; it is in no level, heap or consumer's list any more.
    fn discard(&mut self, seq: u64, reason: DeadReason, fx: &mut Effects<M>) {
        match reason {
            DeadReason::Expired => self.stats.expired_total += 1,
            DeadReason::Rejected | DeadReason::MaxLen | DeadReason::DeliveryLimit => self.stats.dropped_total += 1,
        }
        if self.config.dead_letter {
            self.slot_mut(seq).set_state(State::Moving);
            self.stats.moving += 1;
            self.push_dead_letter(seq, reason, fx);
        } else {
            self.finish(seq, true, fx);
        }
    }

    fn push_dead_letter(&self, seq: u64, reason: DeadReason, fx: &mut Effects<M>) {
        let slot = self.slot(seq);
        fx.push(Effect::DeadLetter(DeadLetter {
            seq: Some(seq),
            body: self.body(seq),
            reason,
            bytes: slot.bytes,
            delivery_count: u32::from(slot.attempts),
            persistent: slot.persistent(),
        }));
    }

    fn body(&self, seq: u64) -> Body<M> {
        match self.entries.body(seq) {
            Some(body) => Body::Resident(body.clone()),
            None => Body::Paged(self.slot(seq).locator().expect("what is not resident can be read")),
        }
    }

    fn allot(&mut self, fx: &mut Effects<M>) {
        self.wake_overtaken(fx);
        self.consumers.allot(self.stats.ready, None, fx);
        debug_assert_eq!(self.stats.ready, self.levels.len(), "ready messages are in their levels");
    }
}
