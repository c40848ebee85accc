//! A queue with its lock, its consumers' mailboxes and its way to the journal.

use crate::core::Crowd;
use crate::engine::{Locator, ObjectId};
use crate::mailbox::{Grant, Mailbox};
use crate::message::{MessageRef, Reliability};
use crate::queue::{AckMode, ConsumerId, ConsumerOptions, Effects, Queue, QueueConfig};
use crate::session::SESSION_CONSUMER;
use crate::time::{Now, WallMillis};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::num::NonZeroU64;
use std::sync::Arc;

/// What a queue holds: the message and the promise under which this queue got it.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The message.
    pub message: MessageRef,
    /// Under which promise.
    pub grant: Arc<Grant>,
    /// It was sent because of a subscription, not because it was published just now.
    pub retained: bool,
}

impl Queued {
    /// The publisher's priority; 0 when it gave none.
    pub fn priority(&self) -> u8 {
        self.message.message().properties.as_ref().and_then(|p| p.priority).unwrap_or(0)
    }

    /// The lower of what was published and what was granted.
    pub fn reliability(&self) -> Reliability {
        self.message.message().reliability.min(self.grant.reliability)
    }
}

/// A queue that connections and publishers share.
#[derive(Debug)]
pub struct QueueCell {
    id: ObjectId,
    durable: bool,
    pub(crate) crowd: Crowd,
    pub(crate) inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) queue: Queue<Queued>,
    pub(crate) consumers: Vec<(ConsumerId, Arc<Mailbox>)>,
    pub(crate) fx: Effects<Queued>,
    /// How many of the queue's expired messages the core has counted.
    pub(crate) expired: u64,
}

impl Inner {
    /// Nobody takes: a session whose client is away costs as little as can be.
    pub(crate) fn rest(&mut self) {
        self.queue.rest();
        self.consumers = Vec::new();
        self.fx = Effects::new();
    }

    /// The one consumer of a session's queue.
    pub(crate) fn attach(&mut self, mailbox: Arc<Mailbox>, credit: u32) {
        self.consumers.push((SESSION_CONSUMER, mailbox));
        let options = ConsumerOptions { credit: Some(credit), ack: AckMode::Manual, ..ConsumerOptions::default() };
        self.queue
            .add_consumer(SESSION_CONSUMER, options, &mut self.fx)
            .expect("a session's queue has one consumer and no owner");
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("stats", &self.queue.stats()).finish_non_exhaustive()
    }
}

impl QueueCell {
    pub(crate) fn new(id: ObjectId, durable: bool, config: Arc<QueueConfig>, now: Now) -> Self {
        Self::with_queue(id, durable, Queue::new(config, now.wall.0))
    }

    pub(crate) fn with_queue(id: ObjectId, durable: bool, queue: Queue<Queued>) -> Self {
        let inner = Inner { queue, consumers: Vec::new(), fx: Effects::new(), expired: 0 };
        QueueCell { id, durable, crowd: Crowd::default(), inner: Mutex::new(inner) }
    }

    /// Its object in the journal.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its persistent messages survive a restart.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Messages that wait for a consumer.
    pub fn ready(&self) -> u64 {
        self.inner.lock().queue.stats().ready
    }
}

/// The queue's own note in an enqueue record: what a start needs to know without reading the message, and the grant.
///
/// `version u8 │ grant flags u8 │ priority u8 │ expires u64 (0: never) │ identifiers u32…`
pub(crate) fn encode_head(queued: &Queued, out: &mut SmallVec<[u8; 32]>) {
    let (grant, m) = (&queued.grant, queued.message.message());
    let flags = grant.reliability as u8 | u8::from(grant.retain_as_published) << 2 | u8::from(queued.retained) << 3;
    out.extend_from_slice(&[1, flags, queued.priority()]);
    out.extend_from_slice(&m.expires_at.map_or(0, |at| at.0).to_le_bytes());
    for id in &grant.identifiers {
        out.extend_from_slice(&id.to_le_bytes());
    }
}

/// What [`encode_head`] wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) grant: Grant,
    pub(crate) retained: bool,
    pub(crate) priority: u8,
    pub(crate) expires_at: Option<WallMillis>,
}

pub(crate) fn decode_head(head: &[u8]) -> Option<Head> {
    let [1, flags, priority, rest @ ..] = head else { return None };
    let (expires, ids) = rest.split_first_chunk::<8>()?;
    let expires = u64::from_le_bytes(*expires);
    let grant = Grant {
        reliability: Reliability::from_bits(flags & 3)?,
        retain_as_published: flags & 4 != 0,
        identifiers: ids.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect(),
    };
    let expires_at = (expires != 0).then_some(WallMillis(expires));
    Some(Head { grant, retained: flags & 8 != 0, priority: *priority, expires_at })
}

/// The queue counts locators as plain numbers; zero does not occur.
pub(crate) fn locator(raw: u64) -> Locator {
    Locator(NonZeroU64::new(raw).expect("an engine never gives a zero locator"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BatchBuilder, FaceId, MessageParts, PublisherId};
    use crate::name::Name;

    #[test]
    fn a_head_survives_the_journal() {
        let grant =
            Grant { reliability: Reliability::AtLeastOnce, retain_as_published: true, identifiers: vec![1, 99] };
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts { expires_at: Some(WallMillis(5)), ..Default::default() });
        let batch = builder.finish(Name::empty(), PublisherId(1), FaceId::NONE);
        let queued = Queued { message: MessageRef::new(batch, 0), grant: Arc::new(grant.clone()), retained: true };
        let mut head = SmallVec::new();
        encode_head(&queued, &mut head);
        let expected = Head { grant, retained: true, priority: 0, expires_at: Some(WallMillis(5)) };
        assert_eq!(decode_head(&head), Some(expected));
        assert_eq!(decode_head(&[]), None);
    }
}
