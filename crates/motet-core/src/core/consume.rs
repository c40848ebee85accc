//! Consuming: pulling from a queue, settling, and what the store brings back.

use super::Core;
use super::after::{After, announce};
use super::broker::Letter;
use crate::engine::{Engine, ObjectId, Position, Stage};
use crate::mailbox::{Grant, Notice};
use crate::message::StoredRun;
use crate::queue::{Body, ConsumerId, Effect, Nack, Taken};
use crate::queues::{Inner, QueueCell, Queued, decode_head, locator};
use crate::session::{SESSION_CONSUMER, SessionHandle};
use crate::time::Now;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A message handed to a consumer that will settle it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// By which it is settled; never used again in its queue.
    pub seq: u64,
    /// What was published, and under which promise it is delivered.
    pub queued: Queued,
    /// It may have been seen before.
    pub redelivered: bool,
    /// Failed attempts before this one.
    pub delivery_count: u32,
    /// Bytes it counts for.
    pub bytes: u32,
}

impl Delivery {
    /// Sessions and queues with a name hand out resident bodies only, so that nothing is left out here.
    pub(super) fn of(taken: Taken<Queued>) -> Option<Self> {
        let Taken { seq, body, redelivered, delivery_count, bytes } = taken;
        debug_assert!(matches!(body, Body::Resident(_)), "queues of the core hand out resident bodies");
        let Body::Resident(queued) = body else { return None };
        Some(Delivery { seq, queued, redelivered, delivery_count, bytes })
    }
}

/// What [`Core::take`] says about what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// More is allotted than was taken.
    pub more: bool,
    /// Everything taken is durable once this is; `None` when the queue is not. What must arrive exactly once leaves
    /// only then: a message that a crash takes back would be sent a second time by its publisher.
    pub staged: Option<Position>,
}

impl<E: Engine> Core<E> {
    /// Takes what the session's queue has allotted: at most `max_messages` and about `max_bytes`.
    pub fn take(
        &self,
        now: Now,
        handle: &SessionHandle,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> Took {
        let Some(queue) = handle.session().queue() else { return Took { more: false, staged: None } };
        let before = out.len();
        let took = loop {
            let stage = queue.is_durable().then(|| self.engine.stage_release());
            // After a takeover these are another connection's; under the stage there is none.
            if !self.is_current(handle) {
                return Took { more: false, staged: None };
            }
            let taker = (queue, SESSION_CONSUMER);
            match self.take_staged(now, taker, stage, max_messages, max_bytes, out) {
                (_, true) if out.len() == before => {}
                (took, unfinished) => break Took { more: took.more || unfinished, ..took },
            }
        };
        if self.trace.is_on() {
            self.trace_taken(queue, handle.session().client(), &out[before..]);
        }
        took
    }

    /// Takes what a queue has allotted to a consumer: at most `max_messages` and about `max_bytes`.
    pub fn take_from(
        &self,
        now: Now,
        queue: &Arc<QueueCell>,
        consumer: ConsumerId,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> Took {
        let before = out.len();
        loop {
            // Taking may settle what has expired, so a durable queue needs a stage before its lock.
            let stage = queue.needs_stage().then(|| self.engine.stage_release());
            match self.take_staged(now, (queue, consumer), stage, max_messages, max_bytes, out) {
                // Others stage between the slices.
                (_, true) if out.len() == before => {}
                (took, unfinished) => return Took { more: took.more || unfinished, ..took },
            }
        }
    }

    /// Also whether there were too many stale messages to come to an end.
    fn take_staged(
        &self,
        now: Now,
        (queue, consumer): (&Arc<QueueCell>, ConsumerId),
        mut stage: Option<E::Stage<'_>>,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Delivery>,
    ) -> (Took, bool) {
        let mut inner = queue.inner.lock();
        if let Some(part) = &mut inner.stream {
            let before = out.len();
            let more = self.read_stream(queue, part, consumer, max_messages, max_bytes, out);
            self.counters.delivered.fetch_add((out.len() - before) as u64, Ordering::Relaxed);
            // What a stream shows is durable.
            return (Took { more, staged: None }, false);
        }
        let mut taken = Vec::with_capacity(max_messages.min(256));
        let Inner { queue: q, fx, .. } = &mut *inner;
        let taking = q.awake().take(now.wall.0, consumer, max_messages, max_bytes, &mut taken, fx);
        let mut after = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        self.bury(now, &mut after, stage.as_mut());
        let staged = stage.map(Stage::finish).filter(|_| queue.is_durable());
        self.carry_on(now, after);
        let before = out.len();
        out.extend(taken.into_iter().filter_map(Delivery::of));
        self.counters.delivered.fetch_add((out.len() - before) as u64, Ordering::Relaxed);
        if self.trace.is_on()
            && let Some(named) = queue.named()
        {
            self.trace_taken(queue, &String::from_utf8_lossy(named.name()), &out[before..]);
        }
        (Took { more: taking.more, staged }, taking.unfinished)
    }

    fn trace_taken(&self, queue: &QueueCell, to: &str, taken: &[Delivery]) {
        for one in taken {
            self.trace.taken(queue.id(), one.seq, &one.queued.message, to, one.redelivered);
        }
    }

    /// The client is done with these, in any order. `notes` change the session's own records in the same group.
    /// Nothing waits for the position unless the protocol answers the acknowledgement.
    pub fn settle(&self, handle: &SessionHandle, seqs: &[u64], notes: &[super::Note<'_>]) -> Option<Position> {
        let queue = handle.session().queue()?;
        let mut stage = queue.is_durable().then(|| self.engine.stage_release());
        if !self.is_current(handle) {
            return None;
        }
        let mut inner = queue.inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        for &seq in seqs {
            // A sequence that is not in flight is the client's mistake or a late answer; the machine judges that.
            let _ = q.awake().ack(SESSION_CONSUMER, seq, fx);
        }
        if self.trace.is_on() {
            seqs.iter().for_each(|seq| self.trace.acknowledged(queue.id(), *seq, handle.session().client()));
        }
        let wakes = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        announce(queue, wakes);
        if let Some(stage) = &mut stage
            && !notes.is_empty()
        {
            self.stage_notes(handle, notes, stage);
        }
        stage.map(Stage::finish)
    }

    /// These were taken and never sent: they return to their places as if nobody had taken them.
    pub fn give_back(&self, now: Now, handle: &SessionHandle, seqs: &[u64]) {
        let Some(queue) = handle.session().queue() else { return };
        let mut stage = queue.is_durable().then(|| self.engine.stage_release());
        if !self.is_current(handle) {
            return;
        }
        let mut inner = queue.inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        for &seq in seqs {
            // One that is not in flight is none of the queue's any more.
            let _ = q.awake().nack(now.wall.0, SESSION_CONSUMER, seq, Nack::Unsent, fx);
        }
        let after = self.carry_out(queue, &mut inner, stage.as_mut());
        drop(inner);
        drop(stage);
        announce(queue, after);
    }

    /// Does what a queue's effects ask for, under its lock; returns what is to be done after letting go of it.
    pub(super) fn carry_out<S: Stage>(&self, cell: &Arc<QueueCell>, inner: &mut Inner, stage: Option<&mut S>) -> After {
        let mut after = After::default();
        self.carry_out_into(cell, inner, stage, &mut after);
        after
    }

    /// The same for a call on several queues.
    pub(super) fn carry_out_into<S: Stage>(
        &self,
        cell: &Arc<QueueCell>,
        inner: &mut Inner,
        mut stage: Option<&mut S>,
        after: &mut After,
    ) {
        let named = cell.named();
        self.weigh(cell, inner);
        cell.account(inner);
        if inner.fx.is_empty() && named.is_none() {
            // A message that only waits has no effect, and may have brought a deadline all the same.
            self.arm_queue(cell, inner);
            return;
        }
        let Inner { fx, consumers, queue, .. } = inner;
        let listener = |id| consumers.get(id);
        for effect in fx.drain() {
            match effect {
                Effect::Wake(id) => after.wakes.extend(listener(id).and_then(|l| l.ready(cell))),
                Effect::Activated(id) => {
                    after.notices.extend(listener(id).map(|l| (l.mailbox.clone(), Notice::ConsumerActivated(l.tag))));
                }
                Effect::Cancelled(id) => {
                    after.notices.extend(listener(id).map(|l| (l.mailbox.clone(), Notice::ConsumerCancelled(l.tag))));
                }
                Effect::Settled { seq, locator: at } => {
                    if let (Some(stage), Some(at)) = (stage.as_deref_mut(), at) {
                        stage.settle(cell.id(), seq, locator(at));
                    }
                }
                Effect::Failed { seq, locator: at, attempts } => {
                    if let Some(stage) = stage.as_deref_mut() {
                        stage.mark(cell.id(), seq, locator(at), &attempts.to_le_bytes());
                    }
                }
                Effect::NeedRead { entries } => {
                    self.engine.read(cell.id(), entries.into_iter().map(|(seq, at)| (seq, locator(at))).collect());
                }
                Effect::DeadLetter(letter) => {
                    debug_assert!(named.is_some(), "a session's queue dead-letters nothing");
                    after.letters.extend(named.clone().map(|from| Letter { from, letter, hops: 0 }));
                }
                Effect::QueueExpired => after.unused.extend(named.clone()),
            }
        }
        let expired = queue.stats().expired_total;
        if expired != inner.expired_counted {
            self.counters.expired.fetch_add(expired.wrapping_sub(inner.expired_counted), Ordering::Relaxed);
            inner.expired_counted = expired;
        }
        self.arm_queue(cell, inner);
    }

    /// The store brings bodies that were paged out.
    pub(super) fn loaded(&self, queue: ObjectId, entries: Vec<(u64, Option<Bytes>)>) {
        let Some(cell) = self.queue(queue) else { return };
        let read = decode_queued(entries);
        let mut stage = self.engine.stage_release();
        let mut inner = cell.inner.lock();
        if inner.gone {
            return; // What was read for it is not its own any more.
        }
        let mut after = After::default();
        for (seq, queued) in read {
            self.counters.damaged.fetch_add(u64::from(queued.is_none()), Ordering::Relaxed);
            if let Some(part) = &mut inner.stream {
                part.loaded(&cell, seq - 1, queued.as_ref(), &mut after);
                continue;
            }
            if let Some(letter) = inner.pending.as_mut().and_then(|pending| pending.dying.remove(&seq)) {
                after.letters.extend(cell.named().map(|from| Letter::read(from, letter, queued)));
                continue;
            }
            let Inner { queue: q, fx, .. } = &mut *inner;
            match queued {
                Some(queued) => q.awake().loaded(seq, queued, fx),
                None => drop(q.awake().load_failed(seq, fx)),
            }
        }
        self.carry_out_into(&cell, &mut inner, Some(&mut stage), &mut after);
        // Whoever fetches looks again.
        let fetching = inner.pending.as_mut().map(|pending| std::mem::take(&mut pending.fetching)).unwrap_or_default();
        after.wakes.extend(fetching.into_iter().filter_map(|id| inner.listener(id)?.ready(&cell)));
        drop(inner);
        let now = self.latest();
        self.bury(now, &mut after, Some(&mut stage));
        stage.finish();
        self.carry_on(now, after);
    }
}

/// A queue's records as the store returns them, each the length of the queue's note, the note, the stored message.
fn decode_queued(entries: Vec<(u64, Option<Bytes>)>) -> Vec<(u64, Option<Queued>)> {
    let mut run = StoredRun::default();
    let mut grant = Arc::new(Grant::default());
    let mut decode = |bytes: Option<Bytes>| {
        let bytes = bytes?;
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (head, stored) = rest.split_at_checked(u16::from_le_bytes(*len) as usize)?;
        let head = decode_head(head)?;
        let at = run.push(stored).ok()?;
        if *grant != head.grant {
            grant = Arc::new(head.grant);
        }
        Some((at, grant.clone(), head.retained))
    };
    let decoded: Vec<_> = entries.into_iter().map(|(seq, bytes)| (seq, decode(bytes))).collect();
    let message = run.finish();
    let queued = |(at, grant, retained)| Queued { message: message(at), grant, retained };
    decoded.into_iter().map(|(seq, found)| (seq, found.map(queued))).collect()
}
