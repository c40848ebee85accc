//! One batch into the queues of a route and the mailboxes beside them.

use super::Core;
use super::after::After;
use crate::engine::{Engine, Locator, Stage, StagedBody};
use crate::mailbox::{Direct, Grant};
use crate::message::{Batch, MessageRef, Reliability, encode_stored_head};
use crate::queue::{NewEntry, Verdict};
use crate::queues::{HeadExtras, Inner, QueueCell, Queued, encode_head};
use crate::route::{NamedTarget, QueueTarget, Route};
use crate::time::Now;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One message offered to one queue.
pub(super) struct Offer<'a> {
    pub(super) queued: Queued,
    /// Wall milliseconds before which it is not delivered.
    pub(super) deliver_at_ms: Option<u64>,
    /// Under which name it is a duplicate of another.
    pub(super) dedup_id: Option<std::borrow::Cow<'a, [u8]>>,
    /// It is written down.
    pub(super) persist: bool,
    /// It does not go stale here, whatever it says itself.
    pub(super) stays: bool,
}

impl Offer<'_> {
    /// Without delay and name.
    pub(super) fn plain(queued: Queued, persist: bool) -> Self {
        Offer { queued, deliver_at_ms: None, dedup_id: None, persist, stays: false }
    }
}

impl<E: Engine> Core<E> {
    /// Puts the batch into every queue of the route; true when one refused a message that must not be lost.
    #[expect(clippy::too_many_arguments, reason = "what one publication needs")]
    pub(super) fn enqueue_along(
        &self,
        now: Now,
        own_session: u64,
        route: &Route,
        batch: &Arc<Batch>,
        mut stage: Option<&mut E::Stage<'_>>,
        shared: &mut SharedBodies,
        after: &mut After,
    ) -> bool {
        let mut refused = false;
        for target in &route.named {
            refused |= self.enqueue_named(now, target, batch, stage.as_deref_mut(), shared, after);
        }
        refused |= self.put_off(now, route, batch, stage.as_deref_mut(), after);
        refused | self.enqueue_sessions(now, own_session, route, batch, stage, shared, after)
    }

    /// Puts the batch into the queues of the route's sessions; true when one refused a message that must not be lost.
    #[expect(clippy::too_many_arguments, reason = "what one publication needs")]
    pub(super) fn enqueue_sessions(
        &self,
        now: Now,
        own_session: u64,
        route: &Route,
        batch: &Arc<Batch>,
        mut stage: Option<&mut E::Stage<'_>>,
        shared: &mut SharedBodies,
        after: &mut After,
    ) -> bool {
        let mut refused = false;
        // What is transient passes the sessions' queues; a batch of nothing else has no business with them.
        if route.queues.is_empty() || batch.messages().iter().all(|m| m.reliability == Reliability::AtMostOnce) {
            return refused;
        }
        let tree = route.tree_batch(batch);
        let mut own_bodies = tree.as_ref().map(|_| SharedBodies::new(route.durable_queues));
        let (batch, shared) = (tree.as_ref().unwrap_or(batch), own_bodies.as_mut().unwrap_or(shared));
        for target in &route.queues {
            let Some(grant) = target.to_self.grant(target.session == own_session, &target.grant) else { continue };
            refused |= self.enqueue_batch(now, target, grant, batch, stage.as_deref_mut(), shared, after);
        }
        refused
    }

    /// Hands the batch to subscribers without a queue, and what is transient of it past the queues of the others.
    pub(super) fn push_subscribers(&self, own_session: u64, route: &Route, batch: &Arc<Batch>) {
        if route.direct.is_empty() && route.queues.is_empty() {
            return;
        }
        let tree = route.tree_batch(batch);
        let batch = tree.as_ref().unwrap_or(batch);
        self.push_direct(own_session, route, batch);
        let transient = batch.messages().iter().filter(|m| m.reliability == Reliability::AtMostOnce).count();
        if transient > 0 {
            self.push_transient(own_session, route, batch, transient);
        }
    }

    fn push_direct(&self, own_session: u64, route: &Route, batch: &Arc<Batch>) {
        let shared = route.direct.len() > 1;
        let mut dropped = 0;
        for target in &route.direct {
            let Some(grant) = target.to_self.grant(target.session == own_session, &target.grant) else { continue };
            let lost = target.mailbox.push(direct(batch, grant, shared, false));
            if self.trace.is_on() {
                self.trace.pushed(batch, target.to.client(), lost > 0);
            }
            dropped += lost;
        }
        self.count_direct(route.direct.len() * batch.messages().len(), dropped);
    }

    fn count_direct(&self, handed: usize, dropped: usize) {
        self.counters.delivered.fetch_add(handed.saturating_sub(dropped) as u64, Ordering::Relaxed);
        if dropped > 0 {
            self.counters.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        }
    }

    /// What is transient goes to subscribers with a queue past it, when they are there.
    fn push_transient(&self, own_session: u64, route: &Route, batch: &Arc<Batch>, transient: usize) {
        let mixed = transient < batch.messages().len();
        let shared = route.queues.len() > 1;
        let (mut handed, mut dropped) = (0, 0);
        for target in &route.queues {
            let Some(grant) = target.to_self.grant(target.session == own_session, &target.grant) else { continue };
            if let Some(mailbox) = &target.mailbox {
                handed += transient;
                dropped += mailbox.push(direct(batch, grant, shared && !mixed, mixed));
            }
        }
        self.count_direct(handed, dropped);
    }

    /// Puts the batch into a session's queue; true when it refused a message that must not be lost.
    #[expect(clippy::too_many_arguments, reason = "what one target of a publish needs")]
    fn enqueue_batch(
        &self,
        now: Now,
        target: &QueueTarget,
        grant: &Arc<Grant>,
        batch: &Arc<Batch>,
        stage: Option<&mut E::Stage<'_>>,
        shared: &mut SharedBodies,
        after: &mut After,
    ) -> bool {
        let queue = &target.queue;
        let mut stage = stage.filter(|_| queue.is_durable());
        let mut refused = false;
        let mut inner = queue.inner.lock();
        if inner.gone {
            return false; // Its session ended since the route was made: as if it had ended just after.
        }
        for (index, message) in batch.messages().iter().enumerate() {
            let reliability = message.reliability.min(grant.reliability);
            if reliability == Reliability::AtMostOnce {
                continue; // Past the queue, to whoever is there now.
            }
            let queued =
                Queued { message: MessageRef::new(batch.clone(), index), grant: grant.clone(), retained: false };
            let offer = Offer::plain(queued, stage.is_some());
            let verdict = self.enqueue_one(now, queue, &mut inner, offer, stage.as_deref_mut(), |stage| {
                shared.locate(stage, batch, index)
            });
            match verdict {
                Verdict::Enqueued { .. } | Verdict::Duplicate => {}
                Verdict::Rejected(_) => {
                    refused = true;
                    after.note_refused(index);
                }
            }
        }
        self.carry_out_into(queue, &mut inner, stage, after);
        refused
    }

    /// Puts the batch into a queue with a name, which takes transient messages too; true when it refused one.
    pub(super) fn enqueue_named(
        &self,
        now: Now,
        target: &NamedTarget,
        batch: &Arc<Batch>,
        mut stage: Option<&mut E::Stage<'_>>,
        shared: &mut SharedBodies,
        after: &mut After,
    ) -> bool {
        let cell = target.queue.cell();
        let mut refused = false;
        let mut inner = cell.inner.lock();
        if inner.gone {
            return false; // Deleted since the route was made: as if it had been deleted just after.
        }
        // A group whose members are all away keeps what is persistent, and nothing else.
        let nobody = target.queue.is_group() && inner.consumers.is_empty();
        for index in 0..batch.messages().len() {
            if nobody && batch.messages()[index].reliability == Reliability::AtMostOnce {
                continue;
            }
            let verdict = self.offer(now, target, &mut inner, batch, index, stage.as_deref_mut(), shared, after);
            if matches!(verdict, Verdict::Rejected(_)) {
                refused = true;
                after.note_refused(index);
            }
        }
        self.carry_out_into(cell, &mut inner, stage, after);
        refused
    }

    /// One message into a queue with a name, whose lock is held.
    #[expect(clippy::too_many_arguments, reason = "what one message for one queue needs")]
    pub(super) fn offer(
        &self,
        now: Now,
        target: &NamedTarget,
        inner: &mut Inner,
        batch: &Arc<Batch>,
        index: usize,
        stage: Option<&mut E::Stage<'_>>,
        shared: &mut SharedBodies,
        after: &mut After,
    ) -> Verdict {
        let (queue, cell) = (&target.queue, target.queue.cell());
        let message = MessageRef::new(batch.clone(), index);
        if inner.stream.is_some() {
            // Streams are durable, so that there is a stage.
            if let Some(stage) = stage {
                self.append(now, queue, inner, &message, stage, after);
            }
            return Verdict::Enqueued { seq: 0 };
        }
        let properties = message.message().properties.as_deref();
        let delayed = (target.delay_ms > 0).then(|| now.wall.0.saturating_add(target.delay_ms));
        let offer = Offer {
            dedup_id: properties.and_then(|p| queue.dedup_id(p)),
            deliver_at_ms: delayed.max(properties.and_then(|p| p.deliver_at)).filter(|at| *at > now.wall.0),
            stays: false,
            persist: queue.writes_down(message.message()),
            queued: Queued { message: message.clone(), grant: self.named_grant.clone(), retained: false },
        };
        self.enqueue_one(now, cell, inner, offer, stage, |stage| shared.locate(stage, batch, index))
    }

    /// Last values into a queue that was bound to where they are.
    pub(super) fn enqueue_values(&self, now: Now, target: &NamedTarget, values: &[MessageRef]) {
        let cell = target.queue.cell();
        let mut stage = cell.needs_stage().then(|| self.engine.stage_release());
        let mut after = After::default();
        let mut inner = cell.inner.lock();
        // A stream is what was published to it, in that order.
        if inner.gone || inner.stream.is_some() {
            return;
        }
        for message in values {
            let grant = self.named_grant.clone();
            let persist = target.queue.writes_down(message.message());
            let offer = Offer::plain(Queued { message: message.clone(), grant, retained: true }, persist);
            self.enqueue_one(now, cell, &mut inner, offer, stage.as_mut(), |_| BodyAt::Inline);
        }
        self.carry_out_into(cell, &mut inner, stage.as_mut(), &mut after);
        drop(inner);
        self.bury(now, &mut after, stage.as_mut());
        drop(stage);
        self.carry_on(now, after);
    }

    /// One message into one locked queue, its record staged where it is to be written down.
    pub(super) fn enqueue_one<S: Stage>(
        &self,
        now: Now,
        queue: &QueueCell,
        inner: &mut Inner,
        offer: Offer<'_>,
        stage: Option<&mut S>,
        body: impl FnOnce(&mut S) -> BodyAt,
    ) -> Verdict {
        let Offer { queued, deliver_at_ms, dedup_id, persist, stays } = offer;
        let stage = stage.filter(|_| persist);
        let message = queued.message.clone();
        let m = message.message();
        let counted = queue.counted(&message);
        let entry = NewEntry {
            bytes: counted,
            priority: queued.priority(),
            expires_at_ms: m.expires_at.filter(|_| !stays).map(|at| at.0),
            deliver_at_ms,
            dedup_id: dedup_id.as_deref(),
            persistent: stage.is_some(),
            message: queued.clone(),
        };
        let (waiting, fx) = (inner.queue.awake(), &mut inner.fx);
        let verdict = waiting.enqueue(now.wall.0, entry, fx);
        let (Verdict::Enqueued { seq }, Some(stage)) = (verdict, stage) else {
            return verdict;
        };
        // A queue without room for anything gave it away at once; then there is nothing to write down.
        if !waiting.holds(seq) {
            return verdict;
        }
        let extras = HeadExtras {
            expires_at_ms: waiting.expires_at(seq),
            deliver_at_ms,
            dedup: dedup_id.as_deref().map(|id| (now.wall.0, id)),
            appended_ms: None,
            counted: queue.is_named().then_some(counted),
        };
        let mut head = SmallVec::<[u8; 32]>::new();
        encode_head(&queued, &extras, &mut head);
        let at = match body(stage) {
            BodyAt::Shared(at) => stage.enqueue(queue.id(), seq, &head, StagedBody::Shared(at)),
            BodyAt::Inline => {
                let mut stored = Vec::with_capacity(64);
                encode_stored_head(&message, &mut stored);
                stage.enqueue(queue.id(), seq, &head, StagedBody::Inline(&[&stored, message.payload()]))
            }
        };
        waiting.placed(seq, at.0.get());
        verdict
    }
}

fn direct(batch: &Arc<Batch>, grant: &Arc<Grant>, shared: bool, transient_only: bool) -> Direct {
    Direct { batch: batch.clone(), grant: grant.clone(), retained: false, shared, transient_only }
}

/// Whether a body was already written for another queue of the same stage.
pub(super) enum BodyAt {
    Shared(Locator),
    Inline,
}

/// Bodies of a batch that goes to several durable queues: written once each.
pub(super) struct SharedBodies {
    share: bool,
    at: Vec<Option<Locator>>,
}

impl SharedBodies {
    pub(super) fn new(durable_queues: usize) -> Self {
        SharedBodies { share: durable_queues > 1, at: Vec::new() }
    }

    pub(super) fn locate<S: Stage>(&mut self, stage: &mut S, batch: &Arc<Batch>, index: usize) -> BodyAt {
        if !self.share {
            return BodyAt::Inline;
        }
        self.at.resize(batch.messages().len(), None);
        let at = *self.at[index].get_or_insert_with(|| {
            let message = MessageRef::new(batch.clone(), index);
            let mut stored = Vec::with_capacity(64);
            encode_stored_head(&message, &mut stored);
            stage.body(&[&stored, message.payload()])
        });
        BodyAt::Shared(at)
    }
}
