//! Opening sessions and taking them over. How they end is in `ending.rs`, what they subscribe to in `subscribing.rs`.

use super::Core;
use super::after::announce;
use super::objects::Object;
use super::records::key;
use super::vhost::Vhost;
use crate::engine::{Engine, Position, Stage};
use crate::mailbox::{Mailbox, Notice};
use crate::queue::{Leaving, SentMarks};
use crate::queues::Inner;
use crate::session::{Expiry, OpenSession, Opened, SESSION_CONSUMER, Session, SessionHandle, Will};
use crate::time::Now;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why there is no session for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefused {
    /// The vhost has as many as it may.
    #[error("no further session is taken")]
    Sessions,
    /// The user has as many as one may have.
    #[error("no further session of this user is taken")]
    SessionsOfUser,
    /// The store takes nothing for now.
    #[error("the store takes nothing for now")]
    StoreFull,
}

/// What is left of a connection that has lost its session.
pub(super) struct Evicted {
    /// To be told, once nobody waits for the journal's buffer.
    mailbox: Option<Arc<Mailbox>>,
    /// To be published now.
    pub(super) will: Option<Will>,
}

impl Evicted {
    pub(super) fn tell(&self, notice: Notice) {
        if let Some(mailbox) = &self.mailbox {
            mailbox.notify(notice);
        }
    }
}

impl<E: Engine> Core<E> {
    /// Asks the connection that has the client's session to read what its peer has sent already and leave: a client that
    /// says goodbye and comes again at once must be heard to the end. `successor` is nudged when it has gone. False:
    /// nobody is there, or does not heed it; then [`Core::open_session`] takes the session.
    pub fn ask_to_leave(&self, vhost: &Vhost, client: &str, successor: &Arc<Mailbox>) -> bool {
        let holder = {
            let shard = vhost.session_shard(client).lock();
            shard.get(client).and_then(|session| session.state.lock().mailbox.clone())
        };
        holder.is_some_and(|mailbox| mailbox.ask_to_leave(successor))
    }

    /// Gives a connection its session: a new one, or the one that was there, taken over from whoever has it.
    ///
    /// # Errors
    /// [`OpenRefused`] when there is no room for another one.
    pub fn open_session(&self, now: Now, open: OpenSession<'_>) -> Result<Opened, OpenRefused> {
        let expiry = self.bounded(open.expiry);
        let mut shard = open.vhost.session_shard(open.client).lock();
        let known = shard.get(open.client).cloned();
        // A session that would have ended with its connection ends with the takeover too.
        // Nor does anybody get what another one left, not even what nobody in particular left.
        let may_resume = |s: &&Arc<Session>| s.owner() == open.owner && !Self::ends_with_takeover(s);
        let resumed = known.as_ref().filter(|s| s.is_durable() && !open.clean_start).filter(may_resume);
        let durable = expiry != Expiry::WithConnection;
        if (durable || resumed.is_some()) && !self.takes_records() {
            return Err(OpenRefused::StoreFull);
        }
        if let Some(session) = resumed {
            let mailbox = open.mailbox;
            let opened = self.take_over(now, session, expiry, open);
            drop(shard);
            self.see_off(now);
            let joined = self.resume_places(now, session, mailbox);
            return Ok(Opened { joined, ..opened });
        }
        let full = || open.vhost.is_deleted() || open.vhost.session_count() >= self.limits.sessions;
        if known.is_none() && full() {
            return Err(OpenRefused::Sessions);
        }
        let owner = match &known {
            Some(session) if session.owner() == open.owner => session.owner().clone(),
            other => {
                let entered = self.owners.enter(open.owner, self.limits.sessions_per_user);
                let owner = entered.ok_or(OpenRefused::SessionsOfUser)?;
                if let Some(session) = other {
                    self.owners.leave(session.owner());
                }
                owner
            }
        };
        let ended = known.as_ref().and_then(|session| self.replace(now, session));
        if known.is_none() {
            open.vhost.session_count.fetch_add(1, Ordering::Relaxed);
        }
        let session = Arc::new(self.new_session(&open, owner, durable, expiry));
        if durable {
            self.objects.insert(session.id(), Object::Session(session.clone()));
        }
        shard.insert(session.clone());
        let mut stage = durable.then(|| self.engine.stage_release());
        if let Some(stage) = stage.as_mut().filter(|_| !open.owner.is_empty()) {
            // Never changed, and dropped with the session: nobody needs to know where it is.
            stage.put(session.id(), &[key::OWNER], open.owner.as_bytes(), None);
        }
        let opened = self.attach(now, &session, expiry, open, None, stage);
        drop(shard);
        self.see_off(now);
        Ok(Opened { position: opened.position.max(ended), ..opened })
    }

    /// Its connection is there, and asked for an end of both. [3.1.2.11.2]
    fn ends_with_takeover(session: &Session) -> bool {
        let state = session.state.lock();
        state.mailbox.is_some() && state.expiry == Expiry::WithConnection
    }

    pub(super) fn bounded(&self, expiry: Expiry) -> Expiry {
        Expiry::from_secs(expiry.to_secs().min(self.limits.session_expiry_max_secs))
    }

    fn new_session(&self, open: &OpenSession<'_>, owner: Arc<str>, durable: bool, expiry: Expiry) -> Session {
        let id = if durable { self.engine.allot_object() } else { self.volatile_object() };
        Session::new(open.vhost.clone(), id, open.client, owner, durable, expiry)
    }

    /// Ends the session that was there, whose name another one is about to get.
    fn replace(&self, now: Now, session: &Arc<Session>) -> Option<Position> {
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let evicted = self.evict(now, session, true, stage.as_mut());
        self.end(session, stage.as_mut());
        let position = self.conclude(now, session, evicted.will.as_ref(), stage);
        evicted.tell(Notice::TakenOver);
        position
    }

    /// Gives a session that goes on to a new connection. Its change of hands, the end of the old will and what that
    /// publishes are one group.
    fn take_over(&self, now: Now, session: &Arc<Session>, expiry: Expiry, open: OpenSession<'_>) -> Opened {
        let mut stage = self.engine.stage_release();
        let evicted = self.evict(now, session, false, Some(&mut stage));
        let opened = self.attach(now, session, expiry, open, evicted.will.as_ref(), Some(stage));
        evicted.tell(Notice::TakenOver);
        Opened { present: true, ..opened }
    }

    /// Takes the session away from the connection that has it. A durable one only changes hands under a stage: what
    /// its old connection stages is before that, or is refused.
    pub(super) fn evict(
        &self,
        now: Now,
        session: &Arc<Session>,
        ends: bool,
        stage: Option<&mut E::Stage<'_>>,
    ) -> Evicted {
        let (mailbox, will) = {
            let mut state = session.state.lock();
            state.generation += 1;
            self.shares.disconnect(&mut state);
            (state.mailbox.take(), state.will.take())
        };
        if mailbox.is_some() {
            self.detach_queue(now, session, stage);
        }
        // [MQTT-3.1.2-26] a delayed will is not sent when the session goes on; one without delay is, as the old
        // connection did end; and it is when the session ends.
        let will = will.filter(|will| ends || will.delay_secs == 0 || !session.is_durable());
        Evicted { mailbox, will }
    }

    /// Nobody takes from the session's queue any more. Answers which of its messages were sent.
    pub(super) fn detach_queue(
        &self,
        now: Now,
        session: &Arc<Session>,
        stage: Option<&mut E::Stage<'_>>,
    ) -> Option<SentMarks> {
        let Some(cell) = session.queue() else { return Some(SentMarks::default()) };
        let mut inner = cell.inner.lock();
        let Inner { queue, fx, consumers, .. } = &mut *inner;
        queue.awake().remove_consumer(now.wall.0, SESSION_CONSUMER, Some(Leaving::Broken), fx);
        consumers.clear();
        let sent = queue.sent_marks();
        // Nobody is left to be woken.
        self.carry_out(cell, &mut inner, stage);
        inner.rest();
        sent
    }

    /// The session gets its connection, and `will`, left there by the one before, is published in the same group.
    fn attach<'a>(
        &'a self,
        now: Now,
        session: &Arc<Session>,
        expiry: Expiry,
        open: OpenSession<'_>,
        will: Option<&Will>,
        mut stage: Option<E::Stage<'a>>,
    ) -> Opened {
        let mut state = session.state.lock();
        state.generation += 1;
        state.mailbox = Some(open.mailbox.clone());
        open.mailbox.belongs_to(session);
        state.credit = open.credit;
        // A durable session that is resumed without an expiry ends with this connection, and is durable until then.
        state.expiry = if session.is_durable() { expiry } else { Expiry::WithConnection };
        state.disconnected_at = None;
        state.connected_at = Some(now.wall);
        state.will = open.will;
        if let Some(stage) = &mut stage {
            Self::stage_directory(session, &mut state, None, stage);
            Self::stage_will(session, &mut state, stage);
        }
        let record = state.record.iter().map(|(k, (v, _))| (k.slice(1..), v.clone())).collect();
        let handle = SessionHandle { session: session.clone(), generation: state.generation };
        // Routes name the mailbox of direct subscribers, so a new mailbox makes them stale.
        for pattern in state.subscriptions.patterns() {
            session.vhost().topics.touch(pattern);
        }
        drop(state);
        let position = self.conclude(now, session, will, stage);
        if let Some(cell) = session.queue() {
            let mut stage = cell.is_durable().then(|| self.engine.stage_release());
            let mut inner = cell.inner.lock();
            inner.attach(open.mailbox.clone(), open.credit);
            let after = self.carry_out(cell, &mut inner, stage.as_mut());
            drop(inner);
            drop(stage);
            announce(cell, after);
        }
        Opened { handle, present: false, record, joined: Vec::new(), position }
    }

    /// The handle still speaks for its session.
    pub fn is_current(&self, handle: &SessionHandle) -> bool {
        handle.session.state.lock().generation == handle.generation
    }
}
