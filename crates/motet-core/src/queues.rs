//! A queue with its lock, its consumers' mailboxes and its way to the journal.

use crate::core::Crowd;
use crate::core::broker::{NamedQueue, StreamPart};
use crate::engine::{Locator, ObjectId};
pub(crate) use crate::entry_head::{HeadExtras, decode_head, encode_head};
pub(crate) use crate::listeners::{Listener, Listeners};
use crate::mailbox::{Grant, Mailbox};
use crate::message::{MessageRef, Reliability};
use crate::queue::{
    AckMode, ConsumerId, ConsumerOptions, DeadLetter, Departures, Effects, Handle, Queue, QueueConfig, QueueStats,
    Sleeper,
};
use crate::quota::{Held, Quota};
use crate::session::SESSION_CONSUMER;
use crate::time::Now;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

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

impl Handle for Queued {
    fn stay_alone(&mut self) {
        self.message = self.message.detached();
    }
}

/// A queue that connections and publishers share.
#[derive(Debug)]
pub struct QueueCell {
    id: ObjectId,
    durable: bool,
    /// The queue that has this cell, when it is one with a name.
    named: Option<Weak<NamedQueue>>,
    /// What leaves it may enter a durable queue, so that calls need a stage even when it is not durable itself.
    moves_letters: AtomicBool,
    /// Where it is counted: its vhost's.
    pub(crate) quota: Arc<Quota>,
    /// Whether it slows its publishers.
    pub(crate) crowd: Crowd,
    pub(crate) inner: Mutex<Inner>,
}

/// What only queues with a name need, and of those few.
#[derive(Default)]
pub(crate) struct Pending {
    /// Dead letters whose bodies are being read.
    pub(crate) dying: HashMap<u64, DeadLetter<Queued>, foldhash::fast::RandomState>,
    /// Who asked for the head while it was on disk.
    pub(crate) fetching: Vec<ConsumerId>,
}

pub(crate) struct Inner {
    pub(crate) queue: Sleeper<Queued>,
    pub(crate) consumers: Listeners,
    pub(crate) fx: Effects<Queued>,
    pub(crate) pending: Option<Box<Pending>>,
    /// The inside of a stream; then `queue` stays empty.
    pub(crate) stream: Option<Box<StreamPart>>,
    /// What the vhost's quota has been told of.
    pub(crate) charged: Held,
    /// Of the queue's expired messages, those in the core's sum.
    pub(crate) expired_counted: u64,
    /// Deleted: whoever still has it puts nothing in any more.
    pub(crate) gone: bool,
}

impl Inner {
    /// Nobody takes: a session whose client is away costs as little as can be.
    pub(crate) fn rest(&mut self) {
        self.queue.rest();
        self.consumers = Listeners::default();
        self.fx = Effects::new();
    }

    /// The one consumer of a session's queue.
    pub(crate) fn attach(&mut self, mailbox: Arc<Mailbox>, credit: u32) {
        self.consumers.add(Listener { id: SESSION_CONSUMER, mailbox, tag: 0 });
        let options = ConsumerOptions { credit: Some(credit), ack: AckMode::Manual, ..ConsumerOptions::default() };
        self.queue
            .awake()
            .add_consumer(SESSION_CONSUMER, options, &mut self.fx)
            .expect("a session's queue has one consumer and no owner");
    }

    /// Gauges and totals; of a stream, what it keeps counts as ready.
    pub(crate) fn stats(&self) -> QueueStats {
        let stats = self.queue.stats();
        match &self.stream {
            Some(part) => QueueStats {
                ready: part.stream.messages(),
                waiting_bytes: part.stream.bytes(),
                resident_bytes: part.stream.resident_bytes(),
                enqueued_total: part.stream.next_offset(),
                delivered_total: part.delivered_total,
                acked_total: part.settled_total,
                ..stats
            },
            None => stats,
        }
    }

    /// Messages that wait for no consumer yet; all that a stream keeps.
    pub(crate) fn unclaimed(&self) -> u64 {
        match &self.stream {
            Some(part) => part.stream.messages(),
            None => self.queue.unclaimed(),
        }
    }

    /// How messages left.
    pub(crate) fn departures(&self) -> Departures {
        match &self.stream {
            Some(part) => Departures { delivered_settled: part.taken_total, ..Departures::default() },
            None => self.queue.departures(),
        }
    }

    /// Bytes on disk and in memory.
    fn held(&self) -> Held {
        if self.gone {
            return Held::default();
        }
        let stats = self.queue.stats();
        match &self.stream {
            Some(part) => [part.stream.bytes(), part.stream.resident_bytes()],
            None => [stats.persistent_bytes, stats.resident_bytes],
        }
    }

    pub(crate) fn consumer_count(&self) -> u64 {
        self.queue.consumer_count() + self.stream.as_ref().map_or(0, |part| part.readers() as u64)
    }

    /// When time has something to do here.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let trim = self.stream.as_ref().and_then(|part| part.stream.next_deadline());
        trim.into_iter().chain(self.queue.next_deadline()).min()
    }

    pub(crate) fn listener(&self, id: ConsumerId) -> Option<&Listener> {
        self.consumers.get(id)
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("stats", &self.queue.stats()).finish_non_exhaustive()
    }
}

impl QueueCell {
    /// An empty queue for a session.
    pub(crate) fn new(id: ObjectId, durable: bool, config: Arc<QueueConfig>, quota: &Arc<Quota>, now: Now) -> Self {
        Self::assemble(id, durable, Sleeper::new(config, now.wall.0), None, None, quota)
    }

    pub(crate) fn with_queue(id: ObjectId, durable: bool, queue: Queue<Queued>, quota: &Arc<Quota>) -> Self {
        Self::assemble(id, durable, queue.into(), None, None, quota)
    }

    fn assemble(
        id: ObjectId,
        durable: bool,
        queue: Sleeper<Queued>,
        stream: Option<StreamPart>,
        named: Option<Weak<NamedQueue>>,
        quota: &Arc<Quota>,
    ) -> Self {
        let moves_letters = AtomicBool::new(queue.config().dead_letter);
        let (consumers, fx, stream) = (Listeners::default(), Effects::new(), stream.map(Box::new));
        let charged = Held::default();
        let inner = Inner { queue, consumers, fx, pending: None, stream, charged, expired_counted: 0, gone: false };
        let (crowd, quota) = (Crowd::default(), quota.clone());
        let cell = QueueCell { id, durable, named, moves_letters, quota, crowd, inner: Mutex::new(inner) };
        // What a start found in it.
        cell.account(&mut cell.inner.lock());
        cell
    }

    /// The cell of a queue with a name.
    pub(crate) fn of_named(
        id: ObjectId,
        durable: bool,
        queue: Queue<Queued>,
        stream: Option<StreamPart>,
        named: Weak<NamedQueue>,
        quota: &Arc<Quota>,
    ) -> Self {
        Self::assemble(id, durable, queue.into(), stream, Some(named), quota)
    }

    /// Settles with the vhost what the queue holds now. Under its lock, once a call.
    pub(crate) fn account(&self, inner: &mut Inner) {
        let held = inner.held();
        self.quota.charge(&mut inner.charged, held, !inner.consumers.is_empty());
    }

    /// The queue with a name that this is the cell of; `None` for a session's queue.
    pub fn named(&self) -> Option<Arc<NamedQueue>> {
        self.named.as_ref().and_then(Weak::upgrade)
    }

    /// It is a queue with a name, not a session's.
    pub(crate) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// What a message counts for in its bounds: in a queue with a name its payload, as RabbitMQ counts; in a session
    /// all that has to be kept of it.
    pub(crate) fn counted(&self, message: &MessageRef) -> u32 {
        if self.is_named() { message.payload_size() } else { message.size() }
    }

    /// Calls need a stage: it is durable, or what leaves it may go into a queue that is.
    pub(crate) fn needs_stage(&self) -> bool {
        self.durable || self.moves_letters.load(Ordering::Relaxed)
    }

    pub(crate) fn set_moves_letters(&self, moves: bool) {
        self.moves_letters.store(moves, Ordering::Relaxed);
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

impl Drop for QueueCell {
    /// Whoever still had the queue after its end may have put something in.
    fn drop(&mut self) {
        self.quota.charge(&mut self.inner.get_mut().charged, Held::default(), false);
    }
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
    use crate::queue::NewEntry;

    #[test]
    fn one_message_that_stays_of_each_batch_does_not_keep_the_batches() {
        const BATCHES: u64 = 40;
        const EACH: u64 = 1_000;
        let (mut queue, mut fx) = (Queue::<Queued>::new(QueueConfig::default(), 0), Effects::new());
        queue.add_consumer(SESSION_CONSUMER, ConsumerOptions::default(), &mut fx).expect("nobody is there");
        let (mut builder, mut batches) = (BatchBuilder::new(), Vec::new());
        for _ in 0..BATCHES {
            (0..EACH).for_each(|_| builder.push(MessageParts { payload: &[1; 60], ..MessageParts::default() }));
            let batch = builder.finish(Name::empty(), PublisherId(1), FaceId::NONE);
            for index in 0..EACH as usize {
                let message = MessageRef::new(batch.clone(), index);
                let message = Queued { message, grant: Arc::default(), retained: false };
                let (expires_at_ms, deliver_at_ms, dedup_id) = (None, None, None);
                let entry = NewEntry {
                    message,
                    bytes: 60,
                    priority: 0,
                    expires_at_ms,
                    deliver_at_ms,
                    dedup_id,
                    persistent: false,
                };
                queue.enqueue(0, entry, &mut fx);
            }
            batches.push(Arc::downgrade(&batch));
        }
        let mut taken = Vec::new();
        while queue.take(0, SESSION_CONSUMER, 1_000, usize::MAX, &mut taken, &mut fx).taken > 0 {}
        for one in &taken {
            if one.seq % EACH != 0 {
                queue.ack(SESSION_CONSUMER, one.seq, &mut fx).expect("it has it");
            }
        }
        drop(taken);
        assert_eq!(queue.stats().messages(), BATCHES);
        let kept = batches.iter().filter(|batch| batch.strong_count() > 0).count();
        assert!(kept <= BATCHES as usize / 3, "{kept}");
    }
}
