//! Sessions as consumers: of the queue of a group that shares a subscription, and of queues that others declared.
//!
//! ```text
//!  publish a/b ─▶ tree ── a/# ──▶ queue "$share/g/a/#" ──ring──▶ session ann (consumer 7, connected)
//!                                                        └──────▶ session bob (away: no consumer)
//! ```
//! A group's queue is a queue with a name like any other, made by its first member and gone with its last. Who is a
//! member is in the sessions' own records, so a start finds the groups again. What a member holds returns to its place
//! when its connection ends; what it may see once only, it takes over into its own queue first ([`Core::adopt`]).

use super::after::announce;
use super::broker::{Declared, NamedQueue, QueueDeclaration, QueueError};
use super::consume::Delivery;
use super::fanout::BodyAt;
use super::records::{key, prefixed};
use super::subscribing::Subscribed;
use super::{Core, Vhost};
use crate::engine::{Engine, Locator, Position, Stage};
use crate::exchange::{Arguments, BindError};
use crate::mailbox::{Grant, Mailbox};
use crate::message::{Reliability, Value};
use crate::pattern::Pattern;
use crate::queue::{ConsumeError, ConsumerId, ConsumerOptions, Leaving, Nack, Verdict};
use crate::queues::{Inner, Queued};
use crate::session::{Session, SessionHandle, State, SubscribeOptions};
use crate::spelling::amqp;
use crate::time::Now;
use bytes::Bytes;
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The tree in which groups' queues have their names.
const GROUPS: &[u8] = b"$share/";
/// The argument of a group's queue that was declared.
const KEPT: &str = "x-shared-until-deleted";
/// Messages that one member holds at most, whatever its own window: what it holds the others don't get.
const MEMBER_CREDIT_MAX: u32 = 64;

/// What a session consumes from besides its own queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// What matches a pattern, shared with the other members of a group.
    Group {
        /// The group's name and the pattern as its members spell it: the same spelling, the same group.
        name: Bytes,
        /// What is shared.
        pattern: Pattern,
    },
    /// A queue that somebody declared.
    Queue(Bytes),
}

impl Source {
    /// The queue's name in its vhost.
    pub fn queue_name(&self) -> Bytes {
        match self {
            Source::Group { name, .. } => [GROUPS, name].concat().into(),
            Source::Queue(name) => name.clone(),
        }
    }

    /// `kind u8 │ options │ pattern`, to be found under the queue's name.
    fn encode(&self, options: &SubscribeOptions) -> Vec<u8> {
        let (kind, pattern) = match self {
            Source::Group { pattern, .. } => (1, pattern.as_flat()),
            Source::Queue(_) => (2, &b""[..]),
        };
        [&[kind][..], &options.encode(), pattern].concat()
    }

    fn decode(queue: Bytes, value: &Bytes) -> Option<(Self, SubscribeOptions)> {
        let (kind, rest) = value.split_first()?;
        let (options, _) = rest.split_first_chunk::<{ SubscribeOptions::ENCODED }>()?;
        let options = SubscribeOptions::decode(options)?;
        let source = match kind {
            1 => Source::Group {
                name: queue.slice(queue.starts_with(GROUPS).then_some(GROUPS.len())?..),
                pattern: Pattern::from_flat(value.get(1 + SubscribeOptions::ENCODED..)?).ok()?,
            },
            2 => Source::Queue(queue),
            _ => return None,
        };
        Some((source, options))
    }
}

/// A session's place at a queue.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The queue to take from.
    pub queue: Arc<NamedQueue>,
    /// Who takes.
    pub consumer: ConsumerId,
    /// By which the mailbox says that there is something; never zero, and the same as long as the session is a member.
    pub tag: u64,
    /// How the session wants its messages.
    pub options: SubscribeOptions,
}

/// Why a session cannot consume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefused {
    /// The session has as many subscriptions as it may.
    #[error("no further subscription of this session is taken")]
    Quota,
    /// The connection has lost its session.
    #[error("the session was taken over")]
    TakenOver,
    /// The store takes nothing for now.
    #[error("the store takes nothing for now")]
    StoreFull,
    /// No queue, or none for this session.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The group's pattern cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The queue takes no consumer.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
}

/// What a session keeps of its membership.
#[derive(Debug)]
pub(crate) struct Membership {
    source: Source,
    options: SubscribeOptions,
    at: Option<Locator>,
    /// `None` while a declared queue is not there.
    queue: Option<Arc<NamedQueue>>,
    /// While it is connected.
    consumer: Option<ConsumerId>,
}

impl Membership {
    fn tag(&self) -> u64 {
        self.options.order.into()
    }
}

impl State {
    /// The record of a membership of this queue has moved.
    pub(super) fn share_moved(&mut self, queue: &[u8], moved: impl FnOnce(&mut Option<Locator>)) {
        if let Some(membership) = self.shares.iter_mut().find(|m| m.source.queue_name() == queue) {
            moved(&mut membership.at);
        }
    }
}

/// Groups, and what is to be done once no stage and no session's lock is held.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Members of each group, by the number of its queue. Locked before any stage.
    members: Mutex<HashMap<u64, u64, RandomState>>,
    /// Consumers whose connections have ended, and how.
    leaving: Mutex<Vec<(Arc<NamedQueue>, ConsumerId)>>,
    /// Queues of groups that a session has left.
    left: Mutex<Vec<Arc<NamedQueue>>>,
}

impl Shares {
    /// The connection of this session has ended: call [`Core::see_off`] when the stage has.
    pub(super) fn disconnect(&self, state: &mut State) {
        let gone = state.shares.iter_mut().filter_map(|m| Some((m.queue.clone()?, m.consumer.take()?)));
        let gone: Vec<_> = gone.chain(state.departed.drain(..)).collect();
        if !gone.is_empty() {
            self.leaving.lock().extend(gone);
        }
    }

    /// The session has ended, with all its memberships.
    pub(super) fn forget(&self, state: &mut State) {
        self.disconnect(state);
        for membership in state.shares.drain(..) {
            if let (Source::Group { .. }, Some(queue)) = (membership.source, membership.queue) {
                self.left.lock().push(queue);
            }
        }
    }
}

impl<E: Engine> Core<E> {
    /// Makes the session a consumer of `source`, or changes how it is one. Answer when the position is durable. Tells
    /// whether it is new; the place is the same as before when it is not.
    ///
    /// # Errors
    /// [`JoinRefused`]; nothing has changed.
    pub fn join(
        &self,
        now: Now,
        handle: &SessionHandle,
        source: Source,
        options: SubscribeOptions,
    ) -> Result<(Subscribed, Joined, Option<Position>), JoinRefused> {
        let session = &handle.session;
        let name = source.queue_name();
        if session.is_durable() && !self.takes_records() {
            return Err(JoinRefused::StoreFull);
        }
        let (mailbox, credit, options) = {
            let mut state = session.state.lock();
            if state.generation != handle.generation {
                return Err(JoinRefused::TakenOver);
            }
            let known = state.shares.iter().find(|m| m.source.queue_name() == name);
            let is_new = known.is_none_or(|m| m.consumer.is_none());
            if is_new && state.subscriptions.len() + state.shares.len() >= self.limits.subscriptions_per_session {
                return Err(JoinRefused::Quota);
            }
            let order = known.map(|m| m.options.order);
            if order.is_none() {
                state.subscriptions_made += 1;
            }
            let options = SubscribeOptions { order: order.unwrap_or(state.subscriptions_made), ..options };
            if options.reliability == Reliability::ExactlyOnce {
                self.ensure_queue(session, &state);
            }
            if !is_new {
                drop(state);
                return self.rejoin(handle, &name, &source, options);
            }
            let Some(mailbox) = state.mailbox.clone() else { return Err(JoinRefused::TakenOver) };
            (mailbox, state.credit, options)
        };
        let queue = match &source {
            Source::Group { pattern, .. } => self.enter_group(now, session.vhost(), &name, pattern)?,
            Source::Queue(_) => self.check_queue(now, session.vhost(), &name, 0)?.queue,
        };
        let joined = self.take_place(now, &queue, &mailbox, credit, options);
        let position = joined.as_ref().ok().map(|joined| self.note_join(handle, source.clone(), joined));
        if !matches!(position, Some(Some(_))) && matches!(source, Source::Group { .. }) {
            self.shares.left.lock().push(queue.clone());
        }
        let joined = match (joined, position) {
            (Err(error), _) => Err(error.into()),
            (Ok(joined), Some(Some(position))) => Ok((Subscribed::New, joined, position)),
            (Ok(joined), _) => {
                self.leave(now, &queue, joined.consumer, Leaving::Orderly);
                Err(JoinRefused::TakenOver)
            }
        };
        self.see_off(now);
        joined
    }

    /// A membership that is there already gets other options.
    fn rejoin(
        &self,
        handle: &SessionHandle,
        name: &Bytes,
        source: &Source,
        options: SubscribeOptions,
    ) -> Result<(Subscribed, Joined, Option<Position>), JoinRefused> {
        let session = &handle.session;
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        if state.generation != handle.generation {
            return Err(JoinRefused::TakenOver);
        }
        let known = state.shares.iter_mut().find(|m| m.source.queue_name() == *name).ok_or(JoinRefused::TakenOver)?;
        let (Some(queue), Some(consumer)) = (known.queue.clone(), known.consumer) else {
            return Err(JoinRefused::TakenOver);
        };
        known.options = options;
        if let Some(stage) = &mut stage {
            let at = stage.put(session.id(), &prefixed(key::SHARE, name), &source.encode(&options), known.at);
            known.at = Some(at);
        }
        let joined = Joined { queue, consumer, tag: known.tag(), options };
        drop(state);
        Ok((Subscribed::Replaced, joined, stage.map(Stage::finish)))
    }

    /// The queue of a group, which exists as long as the group has a member.
    fn enter_group(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: &Bytes,
        pattern: &Pattern,
    ) -> Result<Arc<NamedQueue>, JoinRefused> {
        let mut members = self.shares.members.lock();
        // One that is there counts as it is: bounds may have been others when it was made.
        let known = self.find_queue(vhost, name);
        let is_new = known.is_none();
        let queue = match known {
            Some(queue) => queue,
            None => self.declare_queue(now, vhost, name, self.group_declaration(), 0)?.queue,
        };
        if let Err(error) = self.bind_group(now, vhost, &queue, pattern) {
            if is_new {
                let _ = self.delete_queue(now, &queue, false, false);
            }
            return Err(error.into());
        }
        *members.entry(queue.cell().id().0).or_default() += 1;
        Ok(queue)
    }

    /// The queue of a group, for consumers that are no sessions; made when it is not there. One that is `kept` stays until it
    /// is deleted, another goes with its last member or consumer. `name` is [`Source::queue_name`]'s.
    ///
    /// # Errors
    /// [`JoinRefused::Queue`] and [`JoinRefused::Bind`]; then there is no such queue.
    pub fn open_group(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: &[u8],
        pattern: &Pattern,
        kept: bool,
    ) -> Result<Declared, JoinRefused> {
        // Held to the end: nobody ends the group meanwhile.
        let _members = self.shares.members.lock();
        if self.find_queue(vhost, name).is_some() {
            return Ok(self.check_queue(now, vhost, name, 0)?);
        }
        let mut declaration = self.group_declaration();
        if kept {
            declaration.arguments.push((KEPT.into(), Value::Bool(true)));
        }
        let mut declared = self.declare_queue(now, vhost, name, declaration, 0)?;
        let bound = self.bind_group(now, vhost, &declared.queue, pattern);
        if bound.is_err() {
            let _ = self.delete_queue(now, &declared.queue, false, false);
        }
        declared.position = declared.position.max(bound?);
        Ok(declared)
    }

    fn bind_group(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        queue: &Arc<NamedQueue>,
        pattern: &Pattern,
    ) -> Result<Option<Position>, BindError> {
        let mut binding = Vec::new();
        amqp::encode_pattern(pattern, &mut binding)?;
        self.bind_queue(now, vhost, b"amq.topic", queue, &binding, Arguments::default())
    }

    /// Durable, so that what waits for members who are away survives; bounded like the queue of one of them.
    pub(super) fn group_declaration(&self) -> QueueDeclaration {
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let arguments = vec![
            ("x-max-length".into(), number(self.limits.session_queue_messages)),
            ("x-max-length-bytes".into(), number(self.limits.session_queue_bytes)),
            ("x-overflow".into(), Value::Text("reject-publish".into())),
        ];
        QueueDeclaration { durable: true, arguments, ..QueueDeclaration::default() }
    }

    fn take_place(
        &self,
        now: Now,
        queue: &Arc<NamedQueue>,
        mailbox: &Arc<Mailbox>,
        credit: u32,
        options: SubscribeOptions,
    ) -> Result<Joined, ConsumeError> {
        let credit = Some(credit.min(MEMBER_CREDIT_MAX));
        let tag = options.order.into();
        let consumer =
            self.consume(now, queue, mailbox, ConsumerOptions { credit, ..ConsumerOptions::default() }, tag)?;
        Ok(Joined { queue: queue.clone(), consumer, tag, options })
    }

    /// Writes the membership down; `None` when the session was taken over meanwhile.
    fn note_join(&self, handle: &SessionHandle, source: Source, joined: &Joined) -> Option<Option<Position>> {
        let session = &handle.session;
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        if state.generation != handle.generation {
            return None;
        }
        let name = source.queue_name();
        // A queue that was not there when the session came back has left its membership behind.
        let before = state.shares.iter().position(|m| m.source.queue_name() == name).map(|at| state.shares.remove(at));
        let at = stage.as_mut().map(|stage| {
            let value = source.encode(&joined.options);
            stage.put(session.id(), &prefixed(key::SHARE, &name), &value, before.and_then(|before| before.at))
        });
        let (queue, consumer) = (Some(joined.queue.clone()), Some(joined.consumer));
        state.shares.push(Membership { source, options: joined.options, at, queue, consumer });
        drop(state);
        // Also the group's queue is durable by then: it was staged before.
        Some(stage.map(Stage::finish))
    }

    /// Ends a membership; false when there is none. What the session holds it may still settle. Answer when the
    /// position is durable.
    pub fn part_from(&self, now: Now, handle: &SessionHandle, source: &Source) -> (bool, Option<Position>) {
        let session = &handle.session;
        let name = source.queue_name();
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        let at = state.shares.iter().position(|m| m.source.queue_name() == name);
        let Some(at) = at.filter(|_| state.generation == handle.generation) else { return (false, None) };
        let membership = state.shares.remove(at);
        if let (Some(stage), Some(at)) = (&mut stage, membership.at) {
            stage.delete(session.id(), &prefixed(key::SHARE, &name), at);
        }
        let place = membership.queue.clone().zip(membership.consumer);
        state.departed.extend(place.clone());
        drop(state);
        let position = stage.map(Stage::finish);
        if let Some((queue, consumer)) = place {
            self.cancel(now, &queue, consumer);
        }
        if let (Source::Group { .. }, Some(queue)) = (membership.source, membership.queue) {
            self.shares.left.lock().push(queue);
        }
        self.see_off(now);
        (true, position)
    }

    /// Ends the memberships that `is_over`; how many.
    pub(super) fn part_if(&self, handle: &SessionHandle, is_over: impl Fn(&Source) -> bool) -> usize {
        let sources: Vec<_> = handle.session.state.lock().shares.iter().map(|m| m.source.clone()).collect();
        let over = sources.iter().filter(|source| is_over(source));
        over.filter(|source| self.part_from(self.latest(), handle, source).0).count()
    }

    /// A connection has its session: it takes the session's places again.
    pub(super) fn resume_places(&self, now: Now, session: &Arc<Session>, mailbox: &Arc<Mailbox>) -> Vec<Joined> {
        let (credit, generation, wanted) = {
            let state = session.state.lock();
            if state.shares.is_empty() {
                return Vec::new();
            }
            let wanted: Vec<_> = state.shares.iter().map(|m| (m.source.queue_name(), m.options)).collect();
            (state.credit, state.generation, wanted)
        };
        let mut all = Vec::new();
        for (name, options) in wanted {
            // A queue that was deleted meanwhile is not there; one of that name may come again.
            let Some(queue) = self.find_queue(session.vhost(), &name) else { continue };
            let Ok(joined) = self.take_place(now, &queue, mailbox, credit, options) else { continue };
            let mut state = session.state.lock();
            let is_current = state.generation == generation;
            let known = state.shares.iter_mut().find(|m| is_current && m.source.queue_name() == name);
            match known {
                Some(known) => {
                    (known.queue, known.consumer) = (Some(queue), Some(joined.consumer));
                    all.push(joined);
                }
                None => {
                    drop(state);
                    self.leave(now, &queue, joined.consumer, Leaving::Orderly);
                }
            }
        }
        all
    }

    /// Carries out what was left until no stage is open: consumers leave, groups without members end.
    pub(super) fn see_off(&self, now: Now) {
        let leaving = std::mem::take(&mut *self.shares.leaving.lock());
        for (queue, consumer) in leaving {
            self.leave(now, &queue, consumer, Leaving::Orderly);
        }
        let left = std::mem::take(&mut *self.shares.left.lock());
        for queue in left {
            let mut members = self.shares.members.lock();
            let Some(count) = members.get_mut(&queue.cell().id().0) else { continue };
            *count -= 1;
            if *count == 0 {
                members.remove(&queue.cell().id().0);
                drop(members);
                self.end_group(now, &queue);
            }
        }
    }

    /// The last member or the last consumer of a group has left: the group ends when there is neither.
    pub(super) fn end_group(&self, now: Now, queue: &Arc<NamedQueue>) {
        // Held to the end: whoever joins meanwhile makes the group anew.
        let members = self.shares.members.lock();
        if !members.contains_key(&queue.cell().id().0) && !queue.is_kept_group() {
            // Refused while somebody else takes from it; then it ends with the last of those.
            let _ = self.delete_queue(now, queue, true, false);
        }
    }

    /// Moves deliveries from a queue into the session's own: from now on they wait for this session alone. In one group,
    /// so that a crash finds each of them in one place. What its queue refuses returns to where it was.
    pub fn adopt(&self, now: Now, handle: &SessionHandle, place: &Joined, deliveries: &[Delivery], grant: &Arc<Grant>) {
        let Some(own) = handle.session().queue() else { return };
        let from = place.queue.cell();
        let mut stage = (own.is_durable() || from.needs_stage()).then(|| self.engine.stage_release());
        if !self.is_current(handle) {
            return;
        }
        let mut refused = vec![false; deliveries.len()];
        let mut inner = own.inner.lock();
        for (delivery, refused) in deliveries.iter().zip(&mut refused) {
            let message = delivery.queued.message.clone();
            let queued = Queued { message, grant: grant.clone(), retained: false };
            let offer = super::fanout::Offer::plain(queued, own.is_durable());
            let own_stage = stage.as_mut().filter(|_| own.is_durable());
            let verdict = self.enqueue_one(now, own, &mut inner, offer, own_stage, |_| BodyAt::Inline);
            *refused = matches!(verdict, Verdict::Rejected(_));
        }
        let own_after = self.carry_out(own, &mut inner, stage.as_mut());
        drop(inner);
        let mut inner = from.inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        for (delivery, refused) in deliveries.iter().zip(refused) {
            let _ = match refused {
                false => q.awake().ack(place.consumer, delivery.seq, fx),
                true => q.awake().nack(now.wall.0, place.consumer, delivery.seq, Nack::Unsent, fx),
            };
        }
        let mut after = self.carry_out(from, &mut inner, stage.as_mut());
        drop(inner);
        self.bury(now, &mut after, stage.as_mut());
        drop(stage);
        self.carry_on(now, after);
        announce(own, own_after);
    }

    /// A start found a membership.
    pub(super) fn recover_membership(
        &self,
        session: &Arc<Session>,
        state: &mut State,
        queue: Bytes,
        value: &Bytes,
        at: Locator,
    ) -> Option<()> {
        let (source, options) = Source::decode(queue, value)?;
        let queue = self.find_queue(session.vhost(), &source.queue_name());
        if let (Source::Group { .. }, Some(queue)) = (&source, &queue) {
            *self.shares.members.lock().entry(queue.cell().id().0).or_default() += 1;
        }
        state.subscriptions_made = state.subscriptions_made.max(options.order);
        state.shares.push(Membership { source, options, at: Some(at), queue, consumer: None });
        Some(())
    }

    /// After a start: groups whose last member's session ended while its queue could not be deleted any more.
    pub(super) fn end_empty_groups(&self, now: Now, vhost: &Arc<Vhost>) {
        for queue in self.queues(vhost) {
            let is_member = self.shares.members.lock().contains_key(&queue.cell().id().0);
            if queue.is_group() && !queue.is_kept_group() && !is_member {
                let _ = self.delete_queue(now, &queue, false, false);
            }
        }
    }
}

impl NamedQueue {
    /// It is the queue of a group that shares a subscription.
    pub(crate) fn is_group(&self) -> bool {
        self.name().starts_with(GROUPS)
    }

    /// It was declared: it stays when nobody is left.
    fn is_kept_group(&self) -> bool {
        self.declared().arguments.iter().any(|(name, _)| &**name == KEPT)
    }
}
