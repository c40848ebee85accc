//! How sessions end: their connection goes, their time is over, somebody removes them; and what becomes of their wills.

use super::publish::Refusals;
use super::{Core, Vhost};
use crate::engine::{Engine, Position, Stage};
use crate::mailbox::{KickReason, Notice};
use crate::message::MessageRef;
use crate::route::Route;
use crate::session::{CloseSession, Expiry, Session, SessionHandle, Will};
use crate::time::Now;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl<E: Engine> Core<E> {
    /// The connection is gone, or lets go of its session. Ignored when the session has been taken over.
    pub fn close_session(&self, now: Now, handle: &SessionHandle, close: CloseSession) {
        let session = &handle.session;
        let mut shard = session.vhost().session_shard(session.client()).lock();
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let mut state = session.state.lock();
        if state.generation != handle.generation || state.mailbox.is_none() {
            return;
        }
        state.generation += 1;
        state.mailbox = None;
        self.shares.disconnect(&mut state);
        drop(state);
        // Nobody else changes it while its name is locked: whoever opens it next adds a consumer to its queue.
        let sent = self.detach_queue(now, session, stage.as_mut());
        let mut state = session.state.lock();
        if let Some(expiry) = close.expiry {
            state.expiry = self.bounded(expiry);
        }
        let ends = !session.is_durable() || state.expiry == Expiry::WithConnection;
        if !close.publish_will {
            state.will = None;
        }
        // A will waits for its delay or for the end of the session, whichever comes first [MQTT-3.1.2-8].
        let will_now =
            if ends || state.will.as_ref().is_some_and(|w| w.delay_secs == 0) { state.will.take() } else { None };
        state.disconnected_at = Some(now.wall);
        if let Some(stage) = &mut stage
            && !ends
        {
            Self::stage_directory(session, &mut state, sent.as_ref(), stage);
            Self::stage_will(session, &mut state, stage);
            self.arm(session, &state);
            for pattern in state.subscriptions.patterns() {
                session.vhost().topics.touch(pattern);
            }
        }
        drop(state);
        if ends {
            self.forget(&mut shard, session, stage.as_mut());
        }
        self.conclude(now, session, will_now.as_ref(), stage);
        drop(shard);
        self.see_off(now);
    }

    /// A timer of a session has come: publishes its will, ends it, or finds that it is connected again.
    pub(super) fn session_due(&self, now: Now, session: &Arc<Session>) {
        let mut shard = session.vhost().session_shard(session.client()).lock();
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
        if !expired {
            self.arm(session, &state);
        }
        drop(state);
        if expired {
            self.forget(&mut shard, session, Some(&mut stage));
        }
        self.conclude(now, session, will.as_ref(), Some(stage));
        drop(shard);
        self.see_off(now);
    }

    /// Ends a session and takes its name out of the registry.
    fn forget(
        &self,
        shard: &mut super::session_map::SessionMap,
        session: &Arc<Session>,
        stage: Option<&mut E::Stage<'_>>,
    ) {
        shard.remove(session.client());
        session.vhost().session_count.fetch_sub(1, Ordering::Relaxed);
        self.owners.leave(session.owner());
        self.end(session, stage);
    }

    /// Removes everything a session holds. Its name may be about to belong to another one.
    pub(super) fn end(&self, session: &Arc<Session>, stage: Option<&mut E::Stage<'_>>) {
        let mut state = session.state.lock();
        state.ended = true;
        state.generation += 1;
        for pattern in std::mem::take(&mut state.subscriptions).patterns() {
            session.vhost().topics.unsubscribe(pattern, session.id().0);
        }
        self.shares.forget(&mut state);
        state.record.clear();
        state.will = None;
        if let Some(stage) = stage.filter(|_| session.is_durable()) {
            if let Some(at) = state.directory.take() {
                stage.delete(session.vhost().objects.directory, session.client().as_bytes(), at);
            }
            stage.drop_object(session.id());
            self.objects.remove(session.id());
        }
        drop(state);
        if let Some(cell) = session.queue() {
            let mut inner = cell.inner.lock();
            inner.gone = true;
            inner.consumers.clear();
            inner.queue = crate::queue::Sleeper::new(self.session_queue_config(false), 0);
            inner.expired_counted = 0;
            self.weigh(cell, &inner);
            cell.account(&mut inner);
        }
        // From here on nothing of it asks for a turn: its queue is gone, and its timer is set under its name's lock.
        self.timers.forget(session.id());
    }

    /// Ends a group of what befell a session; with the will that is due because of it. A will that is published and
    /// one that is forgotten are the same fact, so a power cut finds both or neither.
    pub(super) fn conclude<'a>(
        &'a self,
        now: Now,
        session: &Session,
        will: Option<&Will>,
        stage: Option<E::Stage<'a>>,
    ) -> Option<Position> {
        let Some(will) = will else { return stage.map(Stage::finish) };
        let stage = stage.unwrap_or_else(|| self.engine.stage_release());
        let route = Route::compute(session.vhost(), will.batch.address());
        let batch = match will.expiry_secs {
            Some(secs) => {
                MessageRef::new(will.batch.clone(), 0).expiring(now.wall.after(Duration::from_secs(secs.into())))
            }
            None => will.batch.clone(),
        };
        self.counters.wills.fetch_add(1, Ordering::Relaxed);
        let own = session.id().0;
        self.publish_staged(now, session.vhost(), own, &route, batch, None, Refusals::Impossible, Some(stage)).position
    }

    /// Removes a session by name, whether connected or not. False when there is none.
    pub fn remove_session(&self, now: Now, client: &str) -> bool {
        self.remove_session_of(now, &self.vhost, client)
    }

    /// Removes a session of `vhost` by name, whether connected or not. False when there is none.
    pub fn remove_session_of(&self, now: Now, vhost: &Vhost, client: &str) -> bool {
        let mut shard = vhost.session_shard(client).lock();
        let Some(session) = shard.get(client).cloned() else { return false };
        let mut stage = session.is_durable().then(|| self.engine.stage_release());
        let evicted = self.evict(now, &session, true, stage.as_mut());
        self.forget(&mut shard, &session, stage.as_mut());
        self.conclude(now, &session, evicted.will.as_ref(), stage);
        drop(shard);
        self.see_off(now);
        evicted.tell(Notice::Kicked(KickReason::Administrative));
        true
    }
}
