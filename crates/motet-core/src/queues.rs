//! A queue with its lock, its consumers' mailboxes and its way to the journal.

use crate::engine::{Locator, ObjectId};
use crate::mailbox::{Grant, Mailbox};
use crate::message::{MessageRef, Reliability};
use crate::queue::{ConsumerId, Effects, Queue, QueueConfig};
use parking_lot::Mutex;
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
    pub(crate) inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) queue: Queue<Queued>,
    pub(crate) consumers: Vec<(ConsumerId, Arc<Mailbox>)>,
    pub(crate) fx: Effects<Queued>,
}

impl QueueCell {
    pub(crate) fn new(id: ObjectId, durable: bool, config: QueueConfig) -> Self {
        Self::with_queue(id, durable, Queue::new(config))
    }

    pub(crate) fn with_queue(id: ObjectId, durable: bool, queue: Queue<Queued>) -> Self {
        QueueCell { id, durable, inner: Mutex::new(Inner { queue, consumers: Vec::new(), fx: Effects::new() }) }
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

/// The queue's own note in an enqueue record: the grant.
pub(crate) fn encode_grant(grant: &Grant, retained: bool, out: &mut Vec<u8>) {
    let flags = grant.reliability as u8 | u8::from(grant.retain_as_published) << 2 | u8::from(retained) << 3;
    out.extend_from_slice(&[1, flags]);
    for id in &grant.identifiers {
        out.extend_from_slice(&id.to_le_bytes());
    }
}

pub(crate) fn decode_grant(head: &[u8]) -> Option<(Grant, bool)> {
    let [1, flags, ids @ ..] = head else { return None };
    let grant = Grant {
        reliability: Reliability::from_bits(flags & 3)?,
        retain_as_published: flags & 4 != 0,
        identifiers: ids.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect(),
    };
    Some((grant, flags & 8 != 0))
}

/// The queue counts locators as plain numbers; zero does not occur.
pub(crate) fn locator(raw: u64) -> Locator {
    Locator(NonZeroU64::new(raw).expect("an engine never gives a zero locator"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_survives_the_journal() {
        let grant = Grant { reliability: Reliability::AtLeastOnce, retain_as_published: true, identifiers: vec![1, 99] };
        let mut head = Vec::new();
        encode_grant(&grant, true, &mut head);
        assert_eq!(decode_grant(&head), Some((grant, true)));
        assert_eq!(decode_grant(&[]), None);
    }
}
