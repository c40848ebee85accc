//! Opening, subscribing, closing and ending sessions.

use super::objects::Object;
use super::publish::{Refusals, announce};
use super::vhost::SessionMap;
use super::{Core, Vhost};
use crate::engine::{Engine, Locator, ObjectId, Position, Stage};
use crate::mailbox::{KickReason, Notice};
use crate::message::encode_stored_head;
use crate::message::{MessageRef, Reliability};
use crate::pattern::Pattern;
use crate::queue::Leaving;
use crate::queues::{Inner, QueueCell};
use crate::route::Route;
use crate::session::{
    CloseSession, Expiry, OpenSession, Opened, SESSION_CONSUMER, Session, SessionHandle, State, SubscribeOptions, Will,
};
use crate::time::{Now, WallMillis};
use crate::topics::Subscription;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A change to a session's own records: keys and values belong to the protocol, the core keeps them.
#[derive(Debug, Clone, Copy)]
pub enum Note<'a> {
    /// Sets a record.
    Put {
        /// At most 64 bytes.
        key: &'a [u8],
        /// At most 64 KiB.
        value: &'a [u8],
    },
    /// Removes a record, if it is there.
    Delete {
        /// Which.
        key: &'a [u8],
    },
}

/// The answer to one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribed {
    /// It is new.
    New,
    /// It replaced one of the same pattern.
    Replaced,
    /// The session has as many as it may.
    QuotaExceeded,
}

/// One session, for operators.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// The client's name.
    pub client: String,
    /// A connection has it.
    pub connected: bool,
    /// It survives its connection.
    pub durable: bool,
    /// How many patterns it subscribes to.
    pub subscriptions: usize,
    /// Messages that wait in its queue.
    pub queued: u64,
}

/// Keys inside a session's object, by first byte: what the core writes for itself and what the protocol writes.
pub(super) mod key {
    pub(in crate::core) const SUBSCRIPTION: u8 = b's';
    pub(in crate::core) const WILL: u8 = b'w';
    pub(in crate::core) const NOTE: u8 = b'n';
}

pub(super) fn prefixed(prefix: u8, key: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(prefix);
    out.extend_from_slice(key);
    Bytes::from(out)
}

/// The directory's entry of a session: version, object, expiry, when it was disconnected (zero while connected).
pub(super) fn encode_directory(id: ObjectId, expiry: Expiry, disconnected_at: Option<WallMillis>) -> [u8; 21] {
    let mut out = [1; 21];
    out[1..9].copy_from_slice(&id.0.to_le_bytes());
    out[9..13].copy_from_slice(&expiry.to_secs().to_le_bytes());
    out[13..].copy_from_slice(&disconnected_at.map_or(0, |at| at.0).to_le_bytes());
    out
}

pub(super) fn decode_directory(bytes: &[u8]) -> Option<(ObjectId, Expiry, Option<WallMillis>)> {
    let [1, rest @ ..] = bytes else { return None };
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (expiry, rest) = rest.split_first_chunk::<4>()?;
    let at = u64::from_le_bytes(*rest.first_chunk::<8>()?);
    let expiry = Expiry::from_secs(u32::from_le_bytes(*expiry));
    Some((ObjectId(u64::from_le_bytes(*id)), expiry, (at != 0).then_some(WallMillis(at))))
}

impl<E: Engine> Core<E> {
    /// Gives a connection its session: a new one, or the one that was there, taken over from whoever has it.
    ///
    /// # Errors
    /// `None` when the vhost has as many sessions as it may.
    pub fn open_session(&self, now: Now, open: OpenSession<'_>) -> Option<Opened> {
        let mut wills = Vec::new();
        let expiry = self.bounded(open.expiry);
        let mut shard = open.vhost.session_shard(open.client).lock();
        let mut present = false;
        let known = shard.get(open.client).cloned().and_then(|session| {
            wills.extend(self.evict(now, &session, open.clean_start));
            // A session that would have ended with its connection ends with the takeover too.
            if open.clean_start || !session.is_durable() {
                self.end(&session);
                return None;
            }
            present = true;
            Some(session)
        });
        let session = match known {
            Some(session) => session,
            None => {
                let durable = expiry != Expiry::WithConnection;
                if !shard.contains_key(open.client) {
                    if open.vhost.is_deleted() || open.vhost.session_count() >= self.limits.sessions {
                        return None;
                    }
                    open.vhost.session_count.fetch_add(1, Ordering::Relaxed);
                }
                let session = Arc::new(self.new_session(open.vhost, open.client, durable, expiry));
                if durable {
                    self.objects.insert(session.id(), Object::Session(session.clone()));
                }
                shard.insert(open.client.into(), session.clone());
                session
            }
        };
        let opened = self.attach(&session, expiry, open, present);
        drop(shard);
        for will in wills {
            self.publish_will(now, &session, &will);
        }
        Some(opened)
    }

    fn bounded(&self, expiry: Expiry) -> Expiry {
        Expiry::from_secs(expiry.to_secs().min(self.limits.session_expiry_max_secs))
    }

    fn new_session(&self, vhost: &Arc<Vhost>, client: &str, durable: bool, expiry: Expiry) -> Session {
        let id = if durable { self.engine.allot_object() } else { self.volatile_object() };
        Session::new(vhost.clone(), id, client, durable, expiry)
    }

    /// A session that is to receive with acknowledgements gets its queue, and the queue its consumer.
    fn ensure_queue(&self, session: &Session, state: &State) {
        let (id, durable) = (session.id(), session.is_durable());
        let config = self.session_queue_config(durable);
        let new = session.set_queue(|| Arc::new(QueueCell::new(id, durable, config, Now::default())));
        if let (true, Some(cell), Some(mailbox)) = (new, session.queue(), &state.mailbox) {
            // It is empty, so nothing comes of it yet: no effect, no stage.
            cell.inner.lock().attach(mailbox.clone(), state.credit);
        }
    }

    /// Takes the session away from the connection that has it. Returns the will, when it is due now.
    fn evict(&self, now: Now, session: &Arc<Session>, ends: bool) -> Option<Will> {
        let (mailbox, will) = {
            let mut state = session.state.lock();
            state.generation += 1;
            (state.mailbox.take(), state.will.take())
        };
        if let Some(mailbox) = mailbox {
            self.detach_queue(now, session);
            mailbox.notify(Notice::TakenOver);
        }
        // [MQTT-3.1.3-9] a delayed will is not sent when the session goes on; one without delay is, as the old
        // connection did end; and it is when the session ends.
        will.filter(|will| ends || will.delay_secs == 0 || !session.is_durable())
    }

    fn detach_queue(&self, now: Now, session: &Arc<Session>) {
        let Some(cell) = session.queue() else { return };
        let mut stage = cell.is_durable().then(|| self.engine.stage_release());
        let mut inner = cell.inner.lock();
        let Inner { queue, fx, consumers, .. } = &mut *inner;
        queue.remove_consumer(now.wall.0, SESSION_CONSUMER, Some(Leaving::Broken), fx);
        consumers.clear();
        let wakes = self.carry_out(cell, &mut inner, stage.as_mut());
        drop(inner);
        announce(cell, wakes);
    }

    fn attach(&self, session: &Arc<Session>, expiry: Expiry, open: OpenSession<'_>, present: bool) -> Opened {
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        state.generation += 1;
        state.mailbox = Some(open.mailbox.clone());
        state.credit = open.credit;
        // A durable session that is resumed without an expiry ends with this connection, and is durable until then.
        state.expiry = if session.is_durable() { expiry } else { Expiry::WithConnection };
        state.disconnected_at = None;
        state.will = open.will;
        if let Some(stage) = &mut stage {
            Self::stage_directory(session, &mut state, stage);
            Self::stage_will(session, &mut state, stage);
        }
        let record = state.record.iter().map(|(k, (v, _))| (k.slice(1..), v.clone())).collect();
        let handle = SessionHandle { session: session.clone(), generation: state.generation };
        // Routes name the mailbox of direct subscribers, so a new mailbox makes them stale.
        for pattern in state.subscriptions.patterns() {
            session.vhost().topics.touch(pattern);
        }
        drop(state);
        if let Some(stage) = stage {
            stage.finish();
        }
        if let Some(cell) = session.queue() {
            let mut stage = cell.is_durable().then(|| self.engine.stage_release());
            let mut inner = cell.inner.lock();
            inner.attach(open.mailbox.clone(), open.credit);
            let wakes = self.carry_out(cell, &mut inner, stage.as_mut());
            drop(inner);
            announce(cell, wakes);
        }
        Opened { handle, present, record }
    }

    fn stage_directory<S: Stage>(session: &Session, state: &mut State, stage: &mut S) {
        let value = encode_directory(session.id(), state.expiry, state.disconnected_at);
        state.directory =
            Some(stage.put(session.vhost().objects.directory, session.client().as_bytes(), &value, state.directory));
    }

    fn stage_will<S: Stage>(session: &Session, state: &mut State, stage: &mut S) {
        match (&state.will, state.will_locator) {
            (Some(will), before) => {
                let message = MessageRef::new(will.batch.clone(), 0);
                let mut value = will.delay_secs.to_le_bytes().to_vec();
                value.extend_from_slice(&will.expiry_secs.unwrap_or(u32::MAX).to_le_bytes());
                encode_stored_head(&message, &mut value);
                value.extend_from_slice(message.payload());
                state.will_locator = Some(stage.put(session.id(), &[key::WILL], &value, before));
            }
            (None, Some(before)) => {
                stage.delete(session.id(), &[key::WILL], before);
                state.will_locator = None;
            }
            (None, None) => {}
        }
    }

    /// The handle still speaks for its session.
    pub fn is_current(&self, handle: &SessionHandle) -> bool {
        handle.session.state.lock().generation == handle.generation
    }

    /// Subscribes; answer when the position is durable.
    pub fn subscribe(
        &self,
        handle: &SessionHandle,
        wanted: &[(Pattern, SubscribeOptions)],
    ) -> (Vec<Subscribed>, Option<Position>) {
        let session = &handle.session;
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        let mut answers = Vec::with_capacity(wanted.len());
        if state.generation != handle.generation {
            return (vec![Subscribed::QuotaExceeded; wanted.len()], None);
        }
        if wanted.iter().any(|(_, options)| options.reliability > Reliability::AtMostOnce) {
            self.ensure_queue(session, &state);
        }
        for (pattern, options) in wanted {
            let before = state.subscriptions.get(pattern).copied();
            if before.is_none() && state.subscriptions.len() >= self.limits.subscriptions_per_session {
                answers.push(Subscribed::QuotaExceeded);
                continue;
            }
            state.subscriptions_made += 1;
            let options =
                SubscribeOptions { order: before.map_or(state.subscriptions_made, |(o, _)| o.order), ..*options };
            let at = stage.as_mut().map(|stage| {
                let key = prefixed(key::SUBSCRIPTION, pattern.as_flat());
                stage.put(session.id(), &key, &options.encode(), before.and_then(|(_, at)| at))
            });
            state.subscriptions.insert(pattern.clone(), (options, at));
            session.vhost().topics.subscribe(pattern, Subscription::Session(session.clone(), options));
            answers.push(if before.is_some() { Subscribed::Replaced } else { Subscribed::New });
        }
        drop(state);
        (answers, stage.map(Stage::finish))
    }

    /// Unsubscribes; true for each pattern that was there. Answer when the position is durable.
    pub fn unsubscribe(&self, handle: &SessionHandle, patterns: &[Pattern]) -> (Vec<bool>, Option<Position>) {
        let session = &handle.session;
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        if state.generation != handle.generation {
            return (vec![false; patterns.len()], None);
        }
        let answers = patterns
            .iter()
            .map(|pattern| {
                let Some((_, at)) = state.subscriptions.remove(pattern) else { return false };
                session.vhost().topics.unsubscribe(pattern, session.id().0);
                if let (Some(stage), Some(at)) = (&mut stage, at) {
                    stage.delete(session.id(), &prefixed(key::SUBSCRIPTION, pattern.as_flat()), at);
                }
                true
            })
            .collect();
        drop(state);
        (answers, stage.map(Stage::finish))
    }

    /// Changes the session's own records; `None` when it has none because it is not durable.
    pub fn note(&self, handle: &SessionHandle, notes: &[Note<'_>]) -> Option<Position> {
        if !handle.session.is_durable() || notes.is_empty() {
            return None;
        }
        let mut stage = self.engine.stage_release();
        self.stage_notes(handle, notes, &mut stage);
        Some(stage.finish())
    }

    pub(super) fn stage_notes<S: Stage>(&self, handle: &SessionHandle, notes: &[Note<'_>], stage: &mut S) {
        let session = &handle.session;
        let mut state = session.state.lock();
        if state.generation != handle.generation {
            return;
        }
        for note in notes {
            match note {
                Note::Put { key, value } => {
                    let key = prefixed(key::NOTE, key);
                    let before = state.record.get(&key).and_then(|(_, at)| *at);
                    let at = stage.put(session.id(), &key, value, before);
                    state.record.insert(key, (Bytes::copy_from_slice(value), Some(at)));
                }
                Note::Delete { key } => {
                    let key = prefixed(key::NOTE, key);
                    if let Some((_, Some(at))) = state.record.remove(&key) {
                        stage.delete(session.id(), &key, at);
                    }
                }
            }
        }
    }

    /// The connection is gone, or lets go of its session. Ignored when the session has been taken over.
    pub fn close_session(&self, now: Now, handle: &SessionHandle, close: CloseSession) {
        let session = &handle.session;
        let shard = session.vhost().session_shard(session.client()).lock();
        let stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        if state.generation != handle.generation || state.mailbox.is_none() {
            return;
        }
        state.generation += 1;
        state.mailbox = None;
        if let Some(expiry) = close.expiry {
            state.expiry = self.bounded(expiry);
        }
        let ends = !session.is_durable() || state.expiry == Expiry::WithConnection;
        if !close.publish_will {
            state.will = None;
        }
        // A will waits for its delay or for the end of the session, whichever comes first [MQTT-3.1.3-9].
        let will_now =
            if ends || state.will.as_ref().is_some_and(|w| w.delay_secs == 0) { state.will.take() } else { None };
        state.disconnected_at = Some(now.wall);
        if let Some(mut stage) = stage
            && !ends
        {
            Self::stage_directory(session, &mut state, &mut stage);
            Self::stage_will(session, &mut state, &mut stage);
            stage.finish();
            self.arm(session, &state);
            for pattern in state.subscriptions.patterns() {
                session.vhost().topics.touch(pattern);
            }
        }
        drop(state);
        if ends {
            self.forget(shard, session);
        } else {
            // Before the name is free: whoever opens the session next adds its consumer to this queue.
            self.detach_queue(now, session);
            drop(shard);
        }
        if let Some(will) = will_now {
            self.publish_will(now, session, &will);
        }
    }

    /// Sets the timers of a session without a connection.
    pub(super) fn arm(&self, session: &Arc<Session>, state: &State) {
        let Some(since) = state.disconnected_at else { return };
        if let Some(will) = &state.will {
            self.timers.session_at(since.after(Duration::from_secs(will.delay_secs.into())), session);
        }
        if let Expiry::After(secs) = state.expiry {
            self.timers.session_at(since.after(Duration::from_secs(secs.into())), session);
        }
    }

    /// A timer of a session has come: publishes its will, ends it, or finds that it is connected again.
    pub(super) fn session_due(&self, now: Now, session: &Arc<Session>) {
        let shard = session.vhost().session_shard(session.client()).lock();
        let mut stage = self.engine.stage_release();
        let mut state = session.state.lock();
        let Some(since) = state.disconnected_at else { return };
        if state.ended {
            return;
        }
        let expired = match state.expiry {
            Expiry::After(secs) => since.after(Duration::from_secs(secs.into())) <= now.wall,
            Expiry::WithConnection => true,
            Expiry::Never => false,
        };
        let will_due = expired
            || state.will.as_ref().is_some_and(|w| since.after(Duration::from_secs(w.delay_secs.into())) <= now.wall);
        let will = if will_due { state.will.take() } else { None };
        if will.is_some() && !expired {
            Self::stage_will(session, &mut state, &mut stage);
        }
        drop(state);
        stage.finish();
        if expired {
            self.forget(shard, session);
        } else {
            drop(shard);
        }
        if let Some(will) = will {
            self.publish_will(now, session, &will);
        }
    }

    /// Ends a session and takes its name out of the registry.
    fn forget(&self, mut shard: parking_lot::MutexGuard<'_, SessionMap>, session: &Arc<Session>) {
        shard.remove(session.client());
        session.vhost().session_count.fetch_sub(1, Ordering::Relaxed);
        self.end(session);
    }

    /// Removes everything a session holds. Its name may already belong to another one.
    fn end(&self, session: &Arc<Session>) {
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        state.ended = true;
        state.generation += 1;
        for pattern in std::mem::take(&mut state.subscriptions).patterns() {
            session.vhost().topics.unsubscribe(pattern, session.id().0);
        }
        state.record.clear();
        state.will = None;
        if let Some(stage) = &mut stage {
            if let Some(at) = state.directory.take() {
                stage.delete(session.vhost().objects.directory, session.client().as_bytes(), at);
            }
            stage.drop_object(session.id());
            self.objects.remove(session.id());
        }
        drop(state);
        if let Some(cell) = session.queue() {
            let mut inner = cell.inner.lock();
            inner.consumers.clear();
            inner.queue = crate::queue::Queue::new(self.session_queue_config(false), 0);
        }
    }

    fn publish_will(&self, now: Now, session: &Session, will: &Will) {
        let route = Route::compute(session.vhost(), will.batch.address());
        let batch = match will.expiry_secs {
            Some(secs) => {
                MessageRef::new(will.batch.clone(), 0).expiring(now.wall.after(Duration::from_secs(secs.into())))
            }
            None => will.batch.clone(),
        };
        self.publish_along(now, session.vhost(), session.id().0, &route, batch, None, Refusals::Impossible);
        self.counters.wills.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes a session by name, whether connected or not. False when there is none.
    pub fn remove_session(&self, now: Now, client: &str) -> bool {
        self.remove_session_of(now, &self.vhost, client)
    }

    /// Removes a session of `vhost` by name, whether connected or not. False when there is none.
    pub fn remove_session_of(&self, now: Now, vhost: &Vhost, client: &str) -> bool {
        let shard = vhost.session_shard(client).lock();
        let Some(session) = shard.get(client).cloned() else { return false };
        let mailbox = session.mailbox();
        let will = self.evict(now, &session, true);
        self.forget(shard, &session);
        if let Some(mailbox) = mailbox {
            mailbox.notify(Notice::Kicked(KickReason::Administrative));
        }
        if let Some(will) = will {
            self.publish_will(now, &session, &will);
        }
        true
    }

    /// Visits every session. For operators: takes each shard's lock in turn.
    pub fn for_each_session(&self, mut visit: impl FnMut(SessionSummary)) {
        let vhosts = self.vhosts();
        for shard in vhosts.iter().flat_map(|vhost| &vhost.sessions) {
            let sessions: Vec<_> = shard.lock().values().cloned().collect();
            for session in sessions {
                let state = session.state.lock();
                visit(SessionSummary {
                    client: session.client().to_owned(),
                    connected: state.mailbox.is_some(),
                    durable: session.is_durable(),
                    subscriptions: state.subscriptions.len(),
                    queued: session.queued(),
                });
            }
        }
    }

    pub(super) fn session_moved(&self, vhost: &Vhost, client: &Bytes, old: Locator, new: Locator) {
        let Ok(client) = std::str::from_utf8(client) else { return };
        let session = vhost.session_shard(client).lock().get(client).cloned();
        if let Some(session) = session {
            relocate(&mut session.state.lock().directory, old, new);
        }
    }

    pub(super) fn key_moved(&self, session: &Session, key: &Bytes, old: Locator, new: Locator) {
        let moved = |at: &mut Option<Locator>| relocate(at, old, new);
        let mut state = session.state.lock();
        match key.first() {
            Some(&key::SUBSCRIPTION) => {
                if let Ok(pattern) = Pattern::from_flat(key.slice(1..))
                    && let Some((_, at)) = state.subscriptions.get_mut(&pattern)
                {
                    moved(at);
                }
            }
            Some(&key::WILL) => moved(&mut state.will_locator),
            Some(&key::NOTE) => {
                if let Some((_, at)) = state.record.get_mut(key) {
                    moved(at);
                }
            }
            _ => {}
        }
    }
}

fn relocate(at: &mut Option<Locator>, old: Locator, new: Locator) {
    if *at == Some(old) {
        *at = Some(new);
    }
}
