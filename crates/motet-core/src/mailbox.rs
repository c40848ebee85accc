//! A mailbox: what waits for one connection, and the one wake-up per batch that tells it so.
//!
//! Publishers push direct deliveries, queues announce that they hold something for this connection, the core leaves
//! answers. The connection's driver waits on the mailbox, its machine pulls. The lock is held for a push or a swap.

use crate::message::{Batch, Reliability};
use crate::queue::ConsumerId;
use crate::queues::QueueCell;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

/// What a subscription was promised; shared by every delivery made under it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// The highest reliability the subscriber asked for.
    pub reliability: Reliability,
    /// Deliver the publisher's retain flag instead of "this is live".
    pub retain_as_published: bool,
    /// Numbers the subscriber gave to the subscriptions that match, in the order they were made.
    pub identifiers: Vec<u32>,
}

/// A batch for a subscriber that needs no acknowledgement: no queue stands between publisher and mailbox.
#[derive(Debug, Clone)]
pub struct Direct {
    /// The messages.
    pub batch: Arc<Batch>,
    /// Under which promise.
    pub grant: Arc<Grant>,
    /// These are last values sent because of a subscription, not live messages.
    pub retained: bool,
    /// More than one mailbox got this batch, so an encoding of it is worth sharing.
    pub shared: bool,
    /// Only the batch's transient messages are meant; the others come through a queue.
    pub transient_only: bool,
}

/// Something the core tells a connection besides deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another connection took the session over; this one must close and has nothing left to say to the core.
    TakenOver,
    /// An operator or a policy ends this connection.
    Kicked(KickReason),
    /// The answer to a credential check.
    Authenticated(u64, Result<crate::principal::Principal, crate::principal::Denied>),
    /// The answer to a step of an authentication.
    Stepped(u64, crate::authentication::Step),
    /// The consumer with this tag is now the one that receives, in a queue with a single active consumer.
    ConsumerActivated(u64),
    /// The queue of the consumer with this tag is gone, and the consumer with it.
    ConsumerCancelled(u64),
}

/// A queue has allotted messages to a consumer of this connection.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The queue to take from.
    pub queue: Arc<QueueCell>,
    /// For which consumer.
    pub consumer: ConsumerId,
    /// The number the connection gave this consumer.
    pub tag: u64,
}

/// Why a connection is ended from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KickReason {
    /// The server is shutting down.
    ServerShuttingDown,
    /// An operator removed the connection or its session.
    Administrative,
    /// The subscriber did not read what it asked for.
    SlowConsumer,
}

/// What a subscriber's mailbox does when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// What arrives is dropped and counted.
    #[default]
    DropNewest,
    /// What waits longest is dropped and counted.
    DropOldest,
    /// The connection is closed.
    Disconnect,
}

#[derive(Debug, Default)]
struct State {
    direct: Vec<Direct>,
    ready: Vec<Ready>,
    notices: Vec<Notice>,
    /// Set by whoever wants the connection to look at something it can see for itself (the durable watermark).
    nudged: bool,
    waker: Option<Waker>,
    closed: bool,
}

/// Counters of one mailbox, read by metrics and the console.
#[derive(Debug, Default)]
pub struct MailboxCounters {
    /// Messages dropped because the mailbox was full.
    pub dropped: AtomicU64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
    /// Bytes pinned by direct deliveries that wait.
    bytes: AtomicUsize,
    bytes_max: usize,
    overflow: Overflow,
    counters: MailboxCounters,
}

/// What a connection pulled out of its mailbox in one go.
#[derive(Debug, Default)]
pub struct Pulled {
    /// Direct deliveries, oldest first.
    pub direct: Vec<Direct>,
    /// Queues that allotted something to this connection since the last pull.
    pub ready: Vec<Ready>,
    /// Answers and orders.
    pub notices: Vec<Notice>,
}

impl Mailbox {
    /// A mailbox that holds at most `bytes_max` bytes of direct deliveries and then acts by `overflow`.
    pub fn new(bytes_max: usize, overflow: Overflow) -> Arc<Self> {
        Arc::new(Mailbox {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            overflow,
            counters: MailboxCounters::default(),
        })
    }

    /// What was dropped here.
    pub fn counters(&self) -> &MailboxCounters {
        &self.counters
    }

    /// Bytes of direct deliveries that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Hands over a batch; acts by the overflow policy when the mailbox is full.
    /// Returns how many messages were dropped because of it.
    pub fn push(&self, delivery: Direct) -> usize {
        let size = delivery.batch.pinned_bytes();
        let mut state = self.state.lock();
        if state.closed {
            return 0;
        }
        let mut dropped = 0;
        let mut waiting = self.bytes.load(Ordering::Relaxed);
        if waiting + size > self.bytes_max && waiting > 0 {
            match self.overflow {
                Overflow::DropNewest => {
                    dropped = delivery.batch.messages().len();
                    self.counters.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
                    return dropped;
                }
                Overflow::DropOldest => {
                    let mut gone = 0;
                    while waiting + size > self.bytes_max && gone < state.direct.len() {
                        let oldest = &state.direct[gone];
                        waiting -= oldest.batch.pinned_bytes();
                        dropped += oldest.batch.messages().len();
                        gone += 1;
                    }
                    state.direct.drain(..gone);
                    self.counters.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
                }
                Overflow::Disconnect => {
                    if !state.notices.contains(&Notice::Kicked(KickReason::SlowConsumer)) {
                        state.notices.push(Notice::Kicked(KickReason::SlowConsumer));
                    }
                    dropped = delivery.batch.messages().len();
                    self.counters.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
                    Self::wake(state);
                    return dropped;
                }
            }
        }
        self.bytes.store(waiting + size, Ordering::Relaxed);
        state.direct.push(delivery);
        Self::wake(state);
        dropped
    }

    /// A queue has allotted messages to a consumer of this connection.
    pub fn announce(&self, ready: Ready) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.ready.push(ready);
        Self::wake(state);
    }

    /// Leaves an answer or an order.
    pub fn notify(&self, notice: Notice) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.notices.push(notice);
        Self::wake(state);
    }

    /// Asks the connection to look again at what it can see for itself.
    pub fn nudge(&self) {
        let mut state = self.state.lock();
        state.nudged = true;
        Self::wake(state);
    }

    /// Wakes outside the lock; only the first push since the last wait finds a waker.
    fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready when something waits; otherwise remembers `waker` for the next push.
    pub fn poll_ready(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if state.nudged || !state.direct.is_empty() || !state.ready.is_empty() || !state.notices.is_empty() {
            state.nudged = false;
            return Poll::Ready(());
        }
        match &state.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => state.waker = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// Swaps out everything that waits; `into` must be empty and lends its memory to the mailbox.
    pub fn pull(&self, into: &mut Pulled) {
        debug_assert!(into.direct.is_empty() && into.ready.is_empty() && into.notices.is_empty());
        let mut state = self.state.lock();
        std::mem::swap(&mut state.direct, &mut into.direct);
        std::mem::swap(&mut state.ready, &mut into.ready);
        std::mem::swap(&mut state.notices, &mut into.notices);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Nothing is accepted any more; what waits is dropped.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut *state);
        state.closed = true;
        self.bytes.store(0, Ordering::Relaxed);
        drop(state);
        drop(waiting);
    }
}
