//! A consumer: what it asks for, and its books.

use super::effect::ConsumerId;
use super::holding::Holding;

/// Messages allotted to one consumer at most, so that an unlimited one does not claim the whole queue in one go.
const ALLOTMENT_MAX: u32 = 256;

/// How a consumer settles what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// Each message stays unacked until it is settled.
    Manual,
    /// Taking is settling.
    Auto,
}

/// What a consumer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// Unacked messages at most; `None` is unlimited. Means nothing with [`AckMode::Auto`], except that 0 receives nothing.
    pub credit: Option<u32>,
    /// Higher ones are served first as long as they have free credit.
    pub priority: i32,
    /// Refuses every other consumer.
    pub exclusive: bool,
    /// When taken messages are settled.
    pub ack: AckMode,
    /// Only fetches with [`Queue::get`](super::Queue::get) and holds: is never allotted anything, does not count as a consumer.
    pub fetch_only: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self { credit: None, priority: 0, exclusive: false, ack: AckMode::Manual, fetch_only: false }
    }
}

/// Why a consumer was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// The same id is there already (a departed one counts while it holds messages).
    #[error("the consumer already exists")]
    Exists,
    /// It asks for exclusive use of a queue that has consumers. // AMQP 0-9-1 basic.consume: 403 ACCESS_REFUSED
    #[error("the queue has consumers, exclusive use is refused")]
    InUse,
    /// The queue was deleted.
    #[error("the queue is gone")]
    Gone,
    /// The queue has as many consumers as it may. // AMQP 0-9-1: 530 NOT_ALLOWED
    #[error("reached maximum ({0}) of consumers per queue")]
    Limit(u64),
    /// Another consumer has exclusive use.
    #[error("another consumer has exclusive use of the queue")]
    ExclusivelyUsed,
}

/// One consumer's books.
pub(super) struct Consumer {
    pub(super) id: ConsumerId,
    pub(super) options: ConsumerOptions,
    pub(super) credit: Option<u32>,
    pub(super) holding: Holding,
    pub(super) unacked: u32,
    pub(super) allotted: u32,
    pub(super) in_ring: bool,
    pub(super) paused: bool,
    /// It left but still holds messages: it settles, and receives nothing.
    pub(super) departed: bool,
    /// Order of arrival, for the hand-over of a single active consumer.
    pub(super) arrival: u64,
}

impl Consumer {
    pub(super) fn new(id: ConsumerId, options: ConsumerOptions, arrival: u64) -> Self {
        Self {
            id,
            options,
            credit: options.credit,
            holding: Holding::default(),
            unacked: 0,
            allotted: 0,
            in_ring: false,
            paused: false,
            departed: false,
            arrival,
        }
    }

    fn receives(&self) -> bool {
        !(self.departed || self.paused || self.options.fetch_only)
    }

    /// Messages it could still hold; what it is allotted has yet to find room there.
    pub(super) fn room(&self) -> u64 {
        match (self.credit, self.options.ack) {
            _ if !self.receives() => 0,
            (None, _) | (Some(1..), AckMode::Auto) => u64::MAX,
            (Some(credit), _) => u64::from(credit.saturating_sub(self.unacked)),
        }
    }

    /// Messages it may still be allotted, the single active one or not.
    pub(super) fn free(&self) -> u32 {
        let room = ALLOTMENT_MAX.saturating_sub(self.allotted);
        match (self.credit, self.options.ack) {
            _ if !self.receives() => 0,
            (None, _) => room,
            (Some(0), _) => 0,
            (Some(_), AckMode::Auto) => room,
            (Some(credit), AckMode::Manual) => room.min(credit.saturating_sub(self.unacked + self.allotted)),
        }
    }
}
