//! Publishing: one batch to one name, to everyone on its route.

use super::after::After;
use super::fanout::SharedBodies;
use super::{Core, Note, Vhost};
use crate::core::broker::PublishError;
use crate::engine::{Engine, Position, Refused, Stage};
use crate::mailbox::Mailbox;
use crate::message::{Batch, PublisherId, Reliability};
use crate::name::Name;
use crate::principal::Principal;
use crate::quota::Resource;
use crate::route::{KnownName, Route, RouteCache};
use crate::session::SessionHandle;
use crate::time::Now;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) use super::after::announce;
pub(super) use super::fanout::{BodyAt, Offer};

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
    /// None until it publishes: most connections only listen.
    cache: Option<Box<RouteCache>>,
}

impl Publisher {
    /// A publisher for `principal`, in the vhost of `session`, or in the one that always exists. `session` is also what
    /// "not my own" compares.
    pub fn new<E: Engine>(core: &Core<E>, principal: Principal, session: Option<&SessionHandle>) -> Self {
        Publisher {
            id: core.new_publisher_id(),
            principal,
            vhost: session.map_or(core.vhost(), |s| s.session().vhost()).clone(),
            session: session.map_or(0, |s| s.session().id().0),
            refusals: Refusals::Heard,
            asking: None,
            cache: None,
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
        self.cache = None;
    }

    /// The same publisher in another vhost.
    #[must_use]
    pub fn in_vhost(mut self, vhost: &Arc<Vhost>) -> Self {
        self.vhost = vhost.clone();
        self.cache = None;
        self
    }

    /// Where it publishes.
    pub fn vhost(&self) -> &Arc<Vhost> {
        &self.vhost
    }

    pub(super) fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// Its identity, to be put into its batches.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// The session that it publishes for; zero without one.
    pub(super) fn session(&self) -> u64 {
        self.session
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
        self.cache.get_or_insert_default().lookup(&self.vhost, &self.principal, self.asking.as_ref(), spelled, decode)
    }

    /// What is known about a routing key of an exchange; the name in the answer is the address its batches carry.
    ///
    /// # Errors
    /// [`PublishError`]: there is no such exchange, it is internal, or exchange and key together are too long a name.
    pub fn exchange(&mut self, exchange: &[u8], key: &[u8]) -> Result<&KnownName, PublishError> {
        self.cache.get_or_insert_default().exchange(&self.vhost, &self.principal, self.asking.as_ref(), exchange, key)
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
    /// The queues of the vhost hold as much as they may. Nothing of the batch was delivered to anybody; it may be
    /// offered again.
    Quota(Resource),
    /// The publisher's session belongs to another connection now. Nothing was delivered, and there is nobody to tell.
    TakenOver,
}

impl RejectCause {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            RejectCause::QueueFull => "a queue on the route is at its bound",
            RejectCause::RetainedFull => "last values are at their bound",
            RejectCause::StoreFull => "the store takes nothing for now",
            RejectCause::Quota(Resource::Disk) => "the vhost's quota of disk is reached",
            RejectCause::Quota(Resource::Memory) => "the vhost's quota of memory is reached",
            RejectCause::TakenOver => "another connection has the publisher's session",
        }
    }
}

/// The answer to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// What became of it.
    pub outcome: Outcome,
    /// Confirm only when this is durable; `None` when nothing durable was touched.
    pub position: Option<Position>,
    /// With `Rejected`: messages at the front of the batch that were taken all the same, before a queue was at its bound.
    pub taken: usize,
}

impl Receipt {
    /// The exchange has seen the batch: it is neither offered again nor another connection's.
    fn counts(&self) -> bool {
        use RejectCause::{Quota, StoreFull, TakenOver};
        !matches!(self.outcome, Outcome::Rejected(StoreFull | Quota(_) | TakenOver))
    }

    /// Nothing of the batch was taken.
    pub(crate) fn rejected(cause: RejectCause) -> Self {
        Receipt { outcome: Outcome::Rejected(cause), position: None, taken: 0 }
    }
}

/// What of the vhost's quota stands against messages along a route. What is not kept by a queue takes nothing.
fn over_quota(vhost: &Vhost, route: &Route, persistent: bool, acknowledged: bool) -> Option<Resource> {
    let kept = !route.named.is_empty() || !route.put_off.is_empty() || (acknowledged && !route.queues.is_empty());
    if kept { vhost.quota().refusal(persistent) } else { None }
}

impl<E: Engine> Core<E> {
    /// A publisher that cannot be told of refusals has published to `known`, and a quota of its vhost stands against it:
    /// it is not to be read from until [`Quota::is_any_reached`](crate::quota::Quota::is_any_reached) is false. `mailbox` is nudged then.
    pub fn is_held_by_quota(&self, publisher: &Publisher, known: &KnownName, mailbox: &Arc<Mailbox>) -> bool {
        let quota = publisher.vhost.quota();
        quota.is_any_reached()
            && over_quota(&publisher.vhost, &known.route, known.route.durable_queues > 0, true).is_some()
            && quota.wait(mailbox)
    }

    /// Publishes `batch` along `known`'s route. The notes beside `session` go to its records in the same atomic group:
    /// one for each message, in their order, because those of messages that are refused are left out.
    ///
    /// When [`KnownName::varies`] says so, each message has a route of its own; then a batch of one message tells what
    /// became of that message, and a longer one the worst of all.
    pub fn publish(
        &self,
        now: Now,
        publisher: &Publisher,
        known: &KnownName,
        batch: Arc<Batch>,
        session: Option<(&SessionHandle, &[Note<'_>])>,
    ) -> Receipt {
        if known.varies_for(&batch) {
            return self.publish_each(now, publisher, known, &batch, session);
        }
        let (vhost, own, route) = (&publisher.vhost, publisher.session, &known.route);
        let messages = batch.messages().len();
        let receipt = self.publish_along(now, vhost, own, route, batch, session, publisher.refusals);
        if receipt.counts() {
            route.count(publisher.id, messages);
        }
        receipt
    }

    /// Messages whose routes depend on themselves, one after the other.
    fn publish_each(
        &self,
        now: Now,
        publisher: &Publisher,
        known: &KnownName,
        batch: &Arc<Batch>,
        session: Option<(&SessionHandle, &[Note<'_>])>,
    ) -> Receipt {
        let mut all = Receipt { outcome: Outcome::Accepted, position: None, taken: 0 };
        for index in 0..batch.messages().len() {
            let (single, route) = known.route_of(now, &publisher.vhost, batch, index);
            let (vhost, own, refusals) = (&publisher.vhost, publisher.session, publisher.refusals);
            let notes = session.filter(|_| index + 1 == batch.messages().len());
            let receipt = self.publish_along(now, vhost, own, &route, single, notes, refusals);
            if receipt.counts() {
                route.count(publisher.id, 1);
            }
            if !matches!(receipt.outcome, Outcome::Rejected(_)) {
                route.keep_claims();
            }
            all.position = all.position.max(receipt.position);
            match (all.outcome, receipt.outcome) {
                (Outcome::Rejected(_), _) | (_, Outcome::Accepted) => {}
                (_, worse) => (all.outcome, all.taken) = (worse, index),
            }
        }
        all
    }

    /// Publishes along a route that is known.
    #[expect(clippy::too_many_arguments, reason = "what one publication needs")]
    pub(crate) fn publish_along(
        &self,
        now: Now,
        vhost: &Vhost,
        own_session: u64,
        route: &Route,
        batch: Arc<Batch>,
        session: Option<(&SessionHandle, &[Note<'_>])>,
        refusals: Refusals,
    ) -> Receipt {
        let traced = self.trace.is_on().then(|| batch.clone());
        if let Some(batch) = &traced {
            let by = session.map(|(handle, _)| handle.session().client());
            self.trace.published(batch, by, route.direct.len(), route.queues.len() + route.named.len());
        }
        let receipt = self.place(now, vhost, own_session, route, batch, session, refusals);
        if let Some(batch) = &traced {
            let refused = match receipt.outcome {
                Outcome::Rejected(cause) => Some(cause.text()),
                Outcome::Accepted | Outcome::Unroutable => None,
            };
            self.trace.placed(batch, refused, receipt.position, self.engine.durable());
        }
        receipt
    }

    #[expect(clippy::too_many_arguments, reason = "what one publication needs")]
    fn place(
        &self,
        now: Now,
        vhost: &Vhost,
        own_session: u64,
        route: &Route,
        batch: Arc<Batch>,
        session: Option<(&SessionHandle, &[Note<'_>])>,
        refusals: Refusals,
    ) -> Receipt {
        let count = batch.messages().len() as u64;
        let retain = route.may_retain() && batch.messages().iter().any(|m| m.retain);
        let transient = batch.messages().iter().filter(|m| m.reliability == Reliability::AtMostOnce).count();
        let notes = session.filter(|(s, notes)| s.session().is_durable() && !notes.is_empty());
        let written = route.durable_queues > 0 && (transient < batch.messages().len() || route.keeps_transient);
        let persistent = written || !route.put_off.is_empty();
        // Who cannot be told is taken in, and then held back by its machine.
        if refusals == Refusals::Heard
            && vhost.quota().is_any_reached()
            && let Some(resource) = over_quota(vhost, route, persistent, transient < batch.messages().len())
        {
            self.counters.rejected.fetch_add(count, Ordering::Relaxed);
            self.counters.quota_refused.fetch_add(count, Ordering::Relaxed);
            return Receipt::rejected(RejectCause::Quota(resource));
        }
        let stage = match persistent || retain || notes.is_some() {
            true if refusals == Refusals::Impossible => Some(self.engine.stage_release()),
            true => match self.engine.stage() {
                Ok(stage) => Some(stage),
                Err(Refused) => {
                    self.counters.rejected.fetch_add(count, Ordering::Relaxed);
                    return Receipt::rejected(RejectCause::StoreFull);
                }
            },
            // Nothing is written for the messages themselves; what they push out of a queue frees room.
            false => route.moves_others().then(|| self.engine.stage_release()),
        };
        // Under the stage no session changes hands: one that was taken over meanwhile publishes nothing, for its
        // notes would not be written and its client sends all of this again on the new connection.
        if let Some((handle, _)) = notes
            && !self.is_current(handle)
        {
            return Receipt::rejected(RejectCause::TakenOver);
        }
        self.publish_staged(now, vhost, own_session, route, batch, notes, refusals, stage)
    }

    /// The same as part of a group that has begun; ends the group.
    #[expect(clippy::too_many_arguments, reason = "what one publication needs, and the group it belongs to")]
    pub(super) fn publish_staged(
        &self,
        now: Now,
        vhost: &Vhost,
        own_session: u64,
        route: &Route,
        batch: Arc<Batch>,
        notes: Option<(&SessionHandle, &[Note<'_>])>,
        refusals: Refusals,
        mut stage: Option<E::Stage<'_>>,
    ) -> Receipt {
        let count = batch.messages().len() as u64;
        let retain = route.may_retain() && batch.messages().iter().any(|m| m.retain);
        let transient = batch.messages().iter().filter(|m| m.reliability == Reliability::AtMostOnce).count();
        if retain && let Some(stage) = &mut stage {
            let mut has_room = self.has_room_to_retain(vhost, &batch);
            if !has_room {
                self.sweep_retained(now, vhost, stage);
                has_room = self.has_room_to_retain(vhost, &batch);
            }
            if has_room {
                self.retain_batch(vhost, &batch, stage);
            } else {
                let asked = batch.messages().iter().filter(|m| m.retain).count() as u64;
                self.counters.retain_refused.fetch_add(asked, Ordering::Relaxed);
                // A transient message has no answer that could say no.
                if refusals == Refusals::Heard && transient < batch.messages().len() {
                    self.counters.rejected.fetch_add(count, Ordering::Relaxed);
                    return Receipt::rejected(RejectCause::RetainedFull);
                }
            }
        }
        // Who subscribed between the look for a route and the change of the value has read the old one and is not on the
        // route: it would hear of the new one never.
        let renewed = if retain { route.renewed(vhost, batch.address()) } else { None };
        let route = renewed.as_ref().unwrap_or(route);
        let mut shared = SharedBodies::new(route.durable_queues);
        let mut after = After::default();
        let refused = self.enqueue_along(now, own_session, route, &batch, stage.as_mut(), &mut shared, &mut after);
        self.bury(now, &mut after, stage.as_mut());
        let taken = after.first_refused.unwrap_or_default();
        if let (Some((handle, notes)), Some(stage)) = (notes, &mut stage) {
            // A refused message will come again, or be given up by its sender: it leaves no note.
            let kept = if refused { taken.min(notes.len()) } else { notes.len() };
            self.stage_notes(handle, &notes[..kept], stage);
        }
        if retain {
            // In the order in which the last value changes, so that who hears it live ends with what is kept.
            self.push_subscribers(own_session, route, &batch);
        }
        let position = stage.map(Stage::finish);
        // Others stage meanwhile: nobody is woken while the journal's buffer is ours.
        self.carry_on(now, after);
        if !retain {
            self.push_subscribers(own_session, route, &batch);
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
        Receipt { outcome, position, taken }
    }
}
