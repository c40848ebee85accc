//! What a machine tells of its conversation, for operators: who is there, on which terms, over which channels.
//!
//! A machine makes one when its peer is let in and gives it to its mailbox ([`crate::mailbox::Mailbox::introduce`]);
//! whoever lists connections reads it there. Numbers are plain stores of relaxed atomics, once per turn.

use crate::core::broker::NamedQueue;
use crate::message::Value;
use crate::queue::ConsumerId;
use crate::traffic::{ChannelTotals, VhostBooks};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// Whether something keeps us from reading what a peer publishes. In the words of RabbitMQ's listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Held {
    /// Nothing does.
    #[default]
    Running = 0,
    /// Something will, as soon as the peer publishes.
    Blocking = 1,
    /// It does.
    Blocked = 2,
}

impl Held {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Held::Running => "running",
            Held::Blocking => "blocking",
            Held::Blocked => "blocked",
        }
    }
}

/// One peer and us.
#[derive(Debug, Default)]
pub struct Conversation {
    /// The protocol with its version, as people write it: `AMQP 0-9-1`, `MQTT 5.0`.
    pub protocol: &'static str,
    /// The user; empty for an anonymous peer.
    pub user: Arc<str>,
    /// What the peer calls itself; empty where its protocol has no such name.
    pub client: Arc<str>,
    /// The vhost it is in.
    pub vhost: Arc<str>,
    /// How it logged in.
    pub mechanism: &'static str,
    /// Bytes of a frame at most; 0 where there is no such bound.
    pub frame_bytes_max: u32,
    /// Channels at most; 0 where there are none.
    pub channels_max: u16,
    /// Seconds between signs of life; 0 for none.
    pub heartbeat_secs: u16,
    /// What the peer says of itself.
    pub client_properties: Vec<(Box<str>, Value)>,
    /// What an operator wants the peer to be told at the end.
    pub farewell: OnceLock<Box<str>>,
    /// Of the vhost it is in: where its channels leave their figures. None where the protocol has no channels.
    pub books: Option<Arc<VhostBooks>>,
    /// A [`Held`].
    held: AtomicU8,
    /// Empty where the protocol has no channels.
    channels: Mutex<Vec<Arc<ChannelBooks>>>,
}

impl Conversation {
    /// Whether something keeps us from reading what the peer publishes.
    pub fn held(&self) -> Held {
        match self.held.load(Ordering::Relaxed) {
            0 => Held::Running,
            1 => Held::Blocking,
            _ => Held::Blocked,
        }
    }

    /// Tells operators of it.
    pub fn note_held(&self, held: Held) {
        self.held.store(held as u8, Ordering::Relaxed);
    }

    /// A channel was opened: its books, for the machine to write into.
    pub fn open(&self, number: u16) -> Arc<ChannelBooks> {
        let totals = self.books.as_ref().map(ChannelTotals::of_channel).unwrap_or_default();
        let books = Arc::new(ChannelBooks { number, totals, ..ChannelBooks::default() });
        self.channels.lock().push(books.clone());
        books
    }

    /// A channel is over.
    pub fn close(&self, books: &Arc<ChannelBooks>) {
        self.channels.lock().retain(|known| !Arc::ptr_eq(known, books));
    }

    /// The channels, in the order in which they were opened.
    pub fn channels(&self) -> Vec<Arc<ChannelBooks>> {
        self.channels.lock().clone()
    }

    /// How many there are.
    pub fn channel_count(&self) -> usize {
        self.channels.lock().len()
    }
}

/// What one channel has and has done.
#[derive(Debug, Default)]
pub struct ChannelBooks {
    /// Its number in its connection.
    pub number: u16,
    /// Publications are confirmed.
    pub confirm: AtomicBool,
    /// Publications and settlements are of transactions.
    pub transactional: AtomicBool,
    /// Deliveries on their way per consumer; 0 is any number.
    pub prefetch: AtomicU32,
    /// Deliveries on their way in the channel as a whole; 0 is any number.
    pub prefetch_global: AtomicU32,
    /// Deliveries that wait for their acknowledgement.
    pub unacked: AtomicU64,
    /// Publications that wait for their confirm.
    pub unconfirmed: AtomicU64,
    /// Publications of the open transaction.
    pub uncommitted: AtomicU64,
    /// Settlements of the open transaction.
    pub acks_uncommitted: AtomicU64,
    /// What it published, and what became of that. Those of a transaction count at its commit.
    pub totals: ChannelTotals,
    /// Messages delivered that wait for an acknowledgement, fetched ones aside.
    pub delivered_total: AtomicU64,
    /// Messages delivered that are settled by that.
    pub delivered_settled_total: AtomicU64,
    /// Messages fetched that wait for an acknowledgement.
    pub got_total: AtomicU64,
    /// Messages fetched that are settled by that.
    pub got_settled_total: AtomicU64,
    /// Fetches that found nothing.
    pub got_nothing_total: AtomicU64,
    /// Messages delivered or fetched again.
    pub redelivered_total: AtomicU64,
    /// Messages acknowledged.
    pub acked_total: AtomicU64,
    /// When the peer last did something here, in milliseconds since 1970; 0 for never.
    pub active_ms: AtomicU64,
    consumers: Mutex<Vec<ConsumerBooks>>,
}

/// What one consumer is.
#[derive(Debug, Clone)]
pub struct ConsumerBooks {
    /// The number that its queue has for it.
    pub id: ConsumerId,
    /// The name it has in its channel.
    pub tag: Box<str>,
    /// Where it consumes from.
    pub queue: Weak<NamedQueue>,
    /// It acknowledges what it is given.
    pub acknowledges: bool,
    /// It alone consumes from the queue.
    pub exclusive: bool,
    /// Deliveries on their way; 0 is any number.
    pub prefetch: u32,
    /// What it said when it came.
    pub arguments: Vec<(Box<str>, Value)>,
}

impl ChannelBooks {
    /// The transaction was committed or rolled back.
    pub fn note_nothing_uncommitted(&self) {
        self.uncommitted.store(0, Ordering::Relaxed);
        self.acks_uncommitted.store(0, Ordering::Relaxed);
    }

    /// A consumer has come.
    pub fn enter(&self, consumer: ConsumerBooks) {
        self.consumers.lock().push(consumer);
    }

    /// The consumer of this tag has gone.
    pub fn leave(&self, tag: &str) {
        self.consumers.lock().retain(|known| *known.tag != *tag);
    }

    /// The consumers, in the order in which they came.
    pub fn consumers(&self) -> Vec<ConsumerBooks> {
        self.consumers.lock().clone()
    }
}

/// Adds to a figure that only its own machine writes: no locked instruction is needed.
pub fn add(figure: &AtomicU64, more: u64) {
    figure.store(figure.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_and_go_in_order() {
        let vhost = Arc::<VhostBooks>::default();
        let conversation = Conversation { books: Some(vhost.clone()), ..Conversation::default() };
        let (one, two) = (conversation.open(1), conversation.open(7));
        add(&two.totals.published, 3);
        add(&one.totals.published, 2);
        conversation.close(&one);
        drop(one);
        let left: Vec<_> = conversation.channels().iter().map(|books| books.number).collect();
        assert_eq!((left, conversation.channel_count()), (vec![7], 1));
        assert_eq!(conversation.channels()[0].totals.published.load(Ordering::Relaxed), 3);
        assert_eq!(vhost.channels_past.published.load(Ordering::Relaxed), 2, "what is closed is not forgotten");
        assert_eq!(vhost.channels_closed.load(Ordering::Relaxed), 1);
    }
}
