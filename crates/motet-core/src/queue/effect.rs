//! The words a queue speaks: verdicts to the caller, effects for the caller to carry out.

/// A consumer, or a holder of fetched messages, unique within one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

/// What a queue keeps of a message: a handle that is cheap to clone, and may be one of many on memory that they share.
pub trait Handle: Clone {
    /// Those that came with it have mostly left: it had better not keep what was theirs.
    fn stay_alone(&mut self) {}
}

impl Handle for u64 {}
impl Handle for &'static str {}
impl<T: ?Sized> Handle for std::sync::Arc<T> {}

/// One message on its way in.
#[derive(Clone, Debug)]
pub struct NewEntry<'a, M> {
    /// The message handle; cloned once per delivery.
    pub message: M,
    /// Bytes this message counts for in limits and windows.
    pub bytes: u32,
    /// Higher leaves first; capped at the queue's `max_priority`.
    pub priority: u8,
    /// Wall milliseconds after which the message is stale; the queue's TTL may shorten it.
    pub expires_at_ms: Option<u64>,
    /// Wall milliseconds before which it is not delivered.
    pub deliver_at_ms: Option<u64>,
    /// Identifier for the de-duplication window; its length is bounded by the caller.
    pub dedup_id: Option<&'a [u8]>,
    /// Whether the caller journals it; ignored in a queue that is not durable.
    pub persistent: bool,
}

/// What became of a message offered to [`Queue::enqueue`](super::Queue::enqueue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the queue under this sequence number.
    Enqueued {
        /// Unique in the queue for ever; the order of arrival.
        seq: u64,
    },
    /// Its identifier was accepted before: the publisher is confirmed, nothing is stored.
    Duplicate,
    /// It was refused.
    Rejected(RejectReason),
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// `max_messages` would be exceeded.
    MaxMessages,
    /// `max_bytes` would be exceeded.
    MaxBytes,
}

/// A message's content as the queue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<M> {
    /// In memory.
    Resident(M),
    /// In the journal at this locator: the caller reads it.
    Paged(u64),
}

/// One message handed to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<M> {
    /// By which it is settled.
    pub seq: u64,
    /// Its content.
    pub body: Body<M>,
    /// Whether it may have been seen by a consumer before.
    pub redelivered: bool,
    /// Failed attempts so far; 0 the first time.
    pub delivery_count: u32,
    /// Bytes it counts for.
    pub bytes: u32,
}

/// Why a message was discarded; the words of RabbitMQ's `x-death`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeadReason {
    /// It waited longer than it may.
    Expired,
    /// A consumer refused it.
    Rejected,
    /// A length limit pushed it out, or refused it.
    MaxLen,
    /// It failed too often.
    DeliveryLimit,
}

impl DeadReason {
    /// As receivers are told.
    pub fn word(self) -> &'static str {
        match self {
            DeadReason::Expired => "expired",
            DeadReason::Rejected => "rejected",
            DeadReason::MaxLen => "maxlen",
            DeadReason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// A message that leaves by the back door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<M> {
    /// By which the caller reports `moved`; `None` when it never entered the queue (refused publish).
    pub seq: Option<u64>,
    /// Its content.
    pub body: Body<M>,
    /// Why it leaves.
    pub reason: DeadReason,
    /// Bytes it counts for.
    pub bytes: u32,
    /// Failed attempts so far.
    pub delivery_count: u32,
    /// Whether the move's batch must also settle it in this queue's journal.
    pub persistent: bool,
}

/// Something for the caller to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<M> {
    /// The dispatcher wakes this consumer, which then takes until `more` is false. Once per idle to allotted.
    Wake(ConsumerId),
    /// The journal stages a settle record. `locator` is `None` when the entry's own record is still being placed.
    Settled {
        /// Which message.
        seq: u64,
        /// Where its record is.
        locator: Option<u64>,
    },
    /// The router moves it in one journal batch (enqueue there, settle here), then calls `moved`.
    DeadLetter(DeadLetter<M>),
    /// The consumer's machine is told that it is now the single active one.
    Activated(ConsumerId),
    /// The consumer's machine is told that its queue is gone.
    Cancelled(ConsumerId),
    /// The journal marks the living entry with its failed attempts, so that they survive.
    Failed {
        /// Which message.
        seq: u64,
        /// Where its record is.
        locator: u64,
        /// Failed attempts so far.
        attempts: u16,
    },
    /// The store reads these without haste and the caller hands each to `loaded`.
    NeedRead {
        /// Sequence number and locator, in queue order.
        entries: Vec<(u64, u64)>,
    },
    /// The owner of the queue table deletes this queue: nobody used it for `expires_ms`.
    QueueExpired,
}

/// A reusable list of effects: the caller drains it after each call (or after several, still under the lock).
#[derive(Debug)]
pub struct Effects<M> {
    words: Vec<Effect<M>>,
}

impl<M> Default for Effects<M> {
    fn default() -> Self {
        Self { words: Vec::new() }
    }
}

impl<M> Effects<M> {
    /// An empty list; allocates at the first effect.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The effects so far, in order.
    pub fn as_slice(&self) -> &[Effect<M>] {
        &self.words
    }

    /// Takes the effects out in order and keeps the allocation.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect<M>> {
        self.words.drain(..)
    }

    pub(super) fn push(&mut self, effect: Effect<M>) {
        self.words.push(effect);
    }
}
