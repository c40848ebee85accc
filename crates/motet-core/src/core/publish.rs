//! Publishing: one batch to one name, to everyone on its route.

use super::{Core, Note, Vhost};
use crate::engine::{Engine, Locator, Position, Refused, Stage, StagedBody};
use crate::mailbox::{Direct, Grant, Mailbox};
use crate::message::{Batch, MessageRef, PublisherId, Reliability, encode_stored_head};
use crate::name::Name;
use crate::principal::Principal;
use crate::queue::{NewEntry, Verdict};
use crate::queues::{Inner, QueueCell, Queued, encode_head};
use crate::route::{KnownName, QueueTarget, Route, RouteCache};
use crate::session::SessionHandle;
use crate::time::Now;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One connection's side of publishing: who it is and which routes it knows.
#[derive(Debug)]
pub struct Publisher {
    id: PublisherId,
    principal: Principal,
    vhost: Arc<Vhost>,
    /// The session that "not my own" refers to; zero for a publisher without one.
    session: u64,
    refusals: Refusals,
    /// Who is nudged when somebody had to be asked whether it may.
    asking: Option<Arc<Mailbox>>,
    cache: RouteCache,
}

impl Publisher {
    /// A publisher for `principal`; `session` is what "not my own" compares.
    pub fn new<E: Engine>(core: &Core<E>, principal: Principal, session: Option<&SessionHandle>) -> Self {
        Publisher {
            id: core.new_publisher_id(),
            principal,
            vhost: core.vhost().clone(),
            session: session.map_or(0, |s| s.session().id().0),
            refusals: Refusals::Heard,
            asking: None,
            cache: RouteCache::default(),
        }
    }

    /// A publisher that cannot be told why a message was refused. Its messages are delivered without becoming last
    /// values when these are at their bound: refused, it would offer the same message again for ever.
    #[must_use]
    pub fn without_refusals(mut self) -> Self {
        self.refusals = Refusals::Unheard;
        self
    }

    /// A publisher that can wait: `mailbox` is nudged when the answer is there after [`KnownName::waits`]. Without it
    /// such a name is refused until then.
    #[must_use]
    pub fn asking(mut self, mailbox: &Arc<Mailbox>) -> Self {
        self.asking = Some(mailbox.clone());
        self
    }

    /// The same one, authenticated again: rights that came with the old proof are looked up anew.
    pub fn renew(&mut self, principal: Principal) {
        self.principal = principal.in_place_of(&self.principal);
        self.cache = RouteCache::default();
    }

    /// Its identity, to be put into its batches.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// Whose messages these are.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What is known about a name in the publisher's own spelling; `decode` is asked on first use.
    ///
    /// # Errors
    /// What `decode` says.
    pub fn known<X>(&mut self, spelled: &[u8], decode: impl FnOnce() -> Result<Name, X>) -> Result<&KnownName, X> {
        self.cache.lookup(&self.vhost, &self.principal, self.asking.as_ref(), spelled, decode)
    }
}

/// What the sender of a message can make of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusals {
    /// It is told why.
    Heard,
    /// It can only be left without an answer, and then sends again.
    Unheard,
    /// There is nobody who could send it again: the store takes it even when it refuses others.
    Impossible,
}

/// What became of a batch. Exactly one per publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every target has it (durable targets once the receipt's position is durable).
    Accepted,
    /// Nobody was there to take it.
    Unroutable,
    /// At least one target refused it.
    Rejected(RejectCause),
}

/// Why a batch was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectCause {
    /// A queue on the route is at its bound.
    QueueFull,
    /// Last values are at their bound. Nothing of the batch was delivered to anybody.
    RetainedFull,
    /// The store takes nothing for now. Nothing of the batch was delivered to anybody; it may be offered again.
    StoreFull,
}

/// The answer to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// What became of it.
    pub outcome: Outcome,
    /// Confirm only when this is durable; `None` when nothing durable was touched.
    pub position: Option<Position>,
}

impl<E: Engine> Core<E> {
    /// Publishes `batch` along `known`'s route. `notes` go to the records of `session` in the same atomic group.
    pub fn publish(
        &self,
        now: Now,
        publisher: &Publisher,
        known: &KnownName,
        batch: Arc<Batch>,
        session: Option<(&SessionHandle, &[Note<'_>])>,
    ) -> Receipt {
        self.publish_along(now, publisher.session, &known.route, batch, session, publisher.refusals)
    }

    /// Publishes along a route that is known.
    pub(crate) fn publish_along(
        &self,
        now: Now,
        own_session: u64,
        route: &Route,
        batch: Arc<Batch>,
        session: Option<(&SessionHandle, &[Note<'_>])>,
        refusals: Refusals,
    ) -> Receipt {
        let count = batch.messages().len() as u64;
        let retain = batch.messages().iter().any(|m| m.retain);
        let transient = batch.messages().iter().filter(|m| m.reliability == Reliability::AtMostOnce).count();
        let notes = session.filter(|(s, notes)| s.session().is_durable() && !notes.is_empty());
        let persistent = route.durable_queues > 0 && transient < batch.messages().len();
        let mut stage = match persistent || retain || notes.is_some() {
            true if refusals == Refusals::Impossible => Some(self.engine.stage_release()),
            true => match self.engine.stage() {
                Ok(stage) => Some(stage),
                Err(Refused) => {
                    self.counters.rejected.fetch_add(count, Ordering::Relaxed);
                    return Receipt { outcome: Outcome::Rejected(RejectCause::StoreFull), position: None };
                }
            },
            false => None,
        };
        if retain && let Some(stage) = &mut stage {
            if self.has_room_to_retain(&batch) {
                self.retain_batch(&batch, stage);
            } else {
                let asked = batch.messages().iter().filter(|m| m.retain).count() as u64;
                self.counters.retain_refused.fetch_add(asked, Ordering::Relaxed);
                // A transient message has no answer that could say no.
                if refusals == Refusals::Heard && transient < batch.messages().len() {
                    self.counters.rejected.fetch_add(count, Ordering::Relaxed);
                    return Receipt { outcome: Outcome::Rejected(RejectCause::RetainedFull), position: None };
                }
            }
        }
        let mut shared = SharedBodies::new(route.durable_queues);
        let mut refused = false;
        let mut wakes = Vec::new();
        // What is transient passes the queues; a batch of nothing else has no business with them.
        let queues = if transient < batch.messages().len() { &route.queues[..] } else { &[] };
        for target in queues {
            let Some(grant) = target.to_self.grant(target.session == own_session, &target.grant) else { continue };
            refused |= self.enqueue_batch(now, target, grant, &batch, stage.as_mut(), &mut shared, &mut wakes);
        }
        // A refused message will come again, or be given up by its sender: it leaves no note.
        if let (Some((handle, notes)), Some(stage), false) = (notes, &mut stage, refused) {
            self.stage_notes(handle, notes, stage);
        }
        let position = stage.map(Stage::finish);
        // Others stage meanwhile: nobody is woken while the journal's buffer is ours.
        for (queue, mailbox) in wakes {
            mailbox.announce(queue);
        }
        self.push_direct(own_session, route, &batch);
        if transient > 0 {
            self.push_transient(own_session, route, &batch, transient);
        }
        let counter = if refused { &self.counters.rejected } else { &self.counters.published };
        counter.fetch_add(count, Ordering::Relaxed);
        let outcome = if refused {
            Outcome::Rejected(RejectCause::QueueFull)
        } else if route.is_empty() {
            self.counters.unroutable.fetch_add(count, Ordering::Relaxed);
            Outcome::Unroutable
        } else {
            Outcome::Accepted
        };
        Receipt { outcome, position }
    }

    fn push_direct(&self, own_session: u64, route: &Route, batch: &Arc<Batch>) {
        let shared = route.direct.len() > 1;
        let mut dropped = 0;
        for target in &route.direct {
            let Some(grant) = target.to_self.grant(target.session == own_session, &target.grant) else { continue };
            dropped += target.mailbox.push(direct(batch, grant, shared, false));
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

    /// Puts the batch into one queue; true when the queue refused a message that must not be lost.
    #[expect(clippy::too_many_arguments, reason = "what one target of a publish needs")]
    fn enqueue_batch(
        &self,
        now: Now,
        target: &QueueTarget,
        grant: &Arc<Grant>,
        batch: &Arc<Batch>,
        stage: Option<&mut E::Stage<'_>>,
        shared: &mut SharedBodies,
        wakes: &mut Vec<(Arc<QueueCell>, Arc<Mailbox>)>,
    ) -> bool {
        let queue = &target.queue;
        let mut stage = stage.filter(|_| queue.is_durable());
        let mut refused = false;
        let mut inner = queue.inner.lock();
        for (index, message) in batch.messages().iter().enumerate() {
            let reliability = message.reliability.min(grant.reliability);
            if reliability == Reliability::AtMostOnce {
                continue; // Past the queue, to whoever is there now.
            }
            let queued =
                Queued { message: MessageRef::new(batch.clone(), index), grant: grant.clone(), retained: false };
            let verdict = self.enqueue_one(now, queue, &mut inner, queued, stage.as_deref_mut(), |stage| {
                shared.locate(stage, batch, index)
            });
            match verdict {
                Verdict::Enqueued { .. } | Verdict::Duplicate => {}
                Verdict::Rejected(_) => refused = true,
            }
        }
        wakes.extend(self.carry_out(queue, &mut inner, stage).into_iter().map(|mailbox| (queue.clone(), mailbox)));
        refused
    }

    /// One message into one locked queue, its record staged where the queue is durable and the message persistent.
    pub(super) fn enqueue_one<S: Stage>(
        &self,
        now: Now,
        queue: &QueueCell,
        inner: &mut Inner,
        queued: Queued,
        stage: Option<&mut S>,
        body: impl FnOnce(&mut S) -> BodyAt,
    ) -> Verdict {
        let message = queued.message.clone();
        let m = message.message();
        let entry = NewEntry {
            bytes: message.size(),
            priority: queued.priority(),
            expires_at_ms: m.expires_at.map(|at| at.0),
            deliver_at_ms: None,
            dedup_id: None,
            persistent: stage.is_some(),
            message: queued.clone(),
        };
        let verdict = inner.queue.enqueue(now.wall.0, entry, &mut inner.fx);
        let (Verdict::Enqueued { seq }, Some(stage)) = (verdict, stage) else {
            return verdict;
        };
        let mut head = SmallVec::<[u8; 32]>::new();
        encode_head(&queued, &mut head);
        let at = match body(stage) {
            BodyAt::Shared(at) => stage.enqueue(queue.id(), seq, &head, StagedBody::Shared(at)),
            BodyAt::Inline => {
                let mut stored = Vec::with_capacity(64);
                encode_stored_head(&message, &mut stored);
                stage.enqueue(queue.id(), seq, &head, StagedBody::Inline(&[&stored, message.payload()]))
            }
        };
        inner.queue.placed(seq, at.0.get(), &mut inner.fx);
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
struct SharedBodies {
    share: bool,
    at: Vec<Option<Locator>>,
}

impl SharedBodies {
    fn new(durable_queues: usize) -> Self {
        SharedBodies { share: durable_queues > 1, at: Vec::new() }
    }

    fn locate<S: Stage>(&mut self, stage: &mut S, batch: &Arc<Batch>, index: usize) -> BodyAt {
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

/// Tells consumers that a queue has something for them; outside the queue's lock.
pub(super) fn announce(queue: &Arc<QueueCell>, mailboxes: SmallVec<[Arc<Mailbox>; 1]>) {
    for mailbox in mailboxes {
        mailbox.announce(queue.clone());
    }
}
