//! A queue with its lock, its consumers' mailboxes and its way to the journal.

use crate::core::Crowd;
use crate::core::broker::{NamedQueue, StreamPart};
use crate::engine::{Locator, ObjectId};
use crate::mailbox::{Grant, Mailbox, Ready};
use crate::message::{MessageRef, Reliability};
use crate::queue::{
    AckMode, ConsumerId, ConsumerOptions, DeadLetter, Departures, Effects, Queue, QueueConfig, QueueStats, Sleeper,
};
use crate::quota::{Held, Quota};
use crate::session::SESSION_CONSUMER;
use crate::time::Now;
use parking_lot::Mutex;
use smallvec::SmallVec;
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

/// Who takes from a queue, and where it listens.
pub(crate) struct Listener {
    pub(crate) id: ConsumerId,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The number its connection gave it.
    pub(crate) tag: u64,
}

impl Listener {
    /// Where to say that `cell` has something for it, and what.
    pub(crate) fn ready(&self, cell: &Arc<QueueCell>) -> Option<(Arc<Mailbox>, Ready)> {
        Some((self.mailbox.clone(), Ready { queue: cell.clone(), consumer: self.id, tag: self.tag }))
    }
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
    pub(crate) consumers: Vec<Listener>,
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
        self.consumers = Vec::new();
        self.fx = Effects::new();
    }

    /// The one consumer of a session's queue.
    pub(crate) fn attach(&mut self, mailbox: Arc<Mailbox>, credit: u32) {
        self.consumers.push(Listener { id: SESSION_CONSUMER, mailbox, tag: 0 });
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
        self.consumers.iter().find(|listener| listener.id == id)
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
        let (consumers, fx, stream) = (Vec::new(), Effects::new(), stream.map(Box::new));
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

/// What of an entry only its queue knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadExtras<'a> {
    /// When it goes stale there, the queue's TTL included.
    pub(crate) expires_at_ms: Option<u64>,
    /// When it may be delivered.
    pub(crate) deliver_at_ms: Option<u64>,
    /// Under which name it is a duplicate of another, and when it came.
    pub(crate) dedup: Option<(u64, &'a [u8])>,
    /// When it was appended to a stream.
    pub(crate) appended_ms: Option<u64>,
    /// What it counts for there, where that is not the size of its record.
    pub(crate) counted: Option<u32>,
}

/// Flags of a head beside the reliability in the lowest two bits.
mod flag {
    pub(super) const AS_PUBLISHED: u8 = 1 << 2;
    pub(super) const RETAINED: u8 = 1 << 3;
    pub(super) const DELAYED: u8 = 1 << 4;
    pub(super) const DEDUP: u8 = 1 << 5;
    pub(super) const APPENDED: u8 = 1 << 6;
    pub(super) const COUNTED: u8 = 1 << 7;
    pub(super) const OF_VERSION_2: u8 = DELAYED | DEDUP | APPENDED | COUNTED;
}

/// The queue's own note in an enqueue record: what a start needs to know without reading the message, and the grant.
///
/// `version u8 │ flags u8 │ priority u8 │ expires u64 (0: never) │ [deliver at u64] │ [came u64 │ length u16 │ dedup id] │ [appended u64] │ [counted u32] │ identifiers u32…`
///
/// Version 1 has neither of the parts in brackets; version 2 says by its flags which it has.
pub(crate) fn encode_head(queued: &Queued, extras: &HeadExtras<'_>, out: &mut SmallVec<[u8; 32]>) {
    let grant = &queued.grant;
    let set = |bit: u8, on: bool| if on { bit } else { 0 };
    let flags = grant.reliability as u8
        | set(flag::AS_PUBLISHED, grant.retain_as_published)
        | set(flag::RETAINED, queued.retained)
        | set(flag::DELAYED, extras.deliver_at_ms.is_some())
        | set(flag::DEDUP, extras.dedup.is_some())
        | set(flag::APPENDED, extras.appended_ms.is_some())
        | set(flag::COUNTED, extras.counted.is_some());
    let version = if flags & flag::OF_VERSION_2 == 0 { 1 } else { 2 };
    out.extend_from_slice(&[version, flags, queued.priority()]);
    out.extend_from_slice(&extras.expires_at_ms.unwrap_or(0).to_le_bytes());
    if let Some(at) = extras.deliver_at_ms {
        out.extend_from_slice(&at.to_le_bytes());
    }
    if let Some((came, id)) = extras.dedup {
        out.extend_from_slice(&came.to_le_bytes());
        out.extend_from_slice(&u16::try_from(id.len()).expect("an identifier is cut to its bound").to_le_bytes());
        out.extend_from_slice(id);
    }
    if let Some(at) = extras.appended_ms {
        out.extend_from_slice(&at.to_le_bytes());
    }
    if let Some(counted) = extras.counted {
        out.extend_from_slice(&counted.to_le_bytes());
    }
    for id in &grant.identifiers {
        out.extend_from_slice(&id.to_le_bytes());
    }
}

/// What [`encode_head`] wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) grant: Grant,
    pub(crate) retained: bool,
    pub(crate) priority: u8,
    pub(crate) extras: HeadExtras<'a>,
}

pub(crate) fn decode_head(head: &[u8]) -> Option<Head<'_>> {
    let [version @ 1..=2, flags, priority, rest @ ..] = head else { return None };
    let (expires, mut rest) = rest.split_first_chunk::<8>()?;
    let expires_at_ms = Some(u64::from_le_bytes(*expires)).filter(|&at| at != 0);
    let mut extras = HeadExtras { expires_at_ms, ..HeadExtras::default() };
    if *version == 2 && flags & flag::DELAYED != 0 {
        let (at, after) = rest.split_first_chunk::<8>()?;
        extras.deliver_at_ms = Some(u64::from_le_bytes(*at));
        rest = after;
    }
    if *version == 2 && flags & flag::DEDUP != 0 {
        let (came, after) = rest.split_first_chunk::<8>()?;
        let (len, after) = after.split_first_chunk::<2>()?;
        let (id, after) = after.split_at_checked(u16::from_le_bytes(*len).into())?;
        extras.dedup = Some((u64::from_le_bytes(*came), id));
        rest = after;
    }
    if *version == 2 && flags & flag::APPENDED != 0 {
        let (at, after) = rest.split_first_chunk::<8>()?;
        extras.appended_ms = Some(u64::from_le_bytes(*at));
        rest = after;
    }
    if *version == 2 && flags & flag::COUNTED != 0 {
        let (counted, after) = rest.split_first_chunk::<4>()?;
        extras.counted = Some(u32::from_le_bytes(*counted));
        rest = after;
    }
    let grant = Grant {
        reliability: Reliability::from_bits(flags & 3)?,
        retain_as_published: flags & flag::AS_PUBLISHED != 0,
        identifiers: rest.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect(),
    };
    Some(Head { grant, retained: flags & flag::RETAINED != 0, priority: *priority, extras })
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
        builder.push(MessageParts::default());
        let batch = builder.finish(Name::empty(), PublisherId(1), FaceId::NONE);
        let queued = Queued { message: MessageRef::new(batch, 0), grant: Arc::new(grant.clone()), retained: true };
        for (deliver_at_ms, dedup) in [(None, None), (Some(7), None), (Some(7), Some((3, b"id".as_slice())))] {
            let (appended_ms, counted) = (deliver_at_ms, deliver_at_ms.map(|_| 300));
            let extras = || HeadExtras { expires_at_ms: Some(5), deliver_at_ms, dedup, appended_ms, counted };
            let mut head = SmallVec::new();
            encode_head(&queued, &extras(), &mut head);
            let expected = Head { grant: grant.clone(), retained: true, priority: 0, extras: extras() };
            assert_eq!(decode_head(&head), Some(expected));
            assert_eq!(head[0], if deliver_at_ms.is_some() { 2 } else { 1 });
        }
        assert_eq!(decode_head(&[]), None);
    }
}
