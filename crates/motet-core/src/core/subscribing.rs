//! Subscribing, and the records a protocol keeps in its session.

use super::Core;
use super::records::{key, prefixed};
use crate::engine::{Engine, Position, Stage};
use crate::message::Reliability;
use crate::pattern::Pattern;
use crate::queues::QueueCell;
use crate::session::{Session, SessionHandle, State, SubscribeOptions};
use crate::time::Now;
use crate::topics::Subscription;
use bytes::Bytes;
use std::sync::Arc;

/// The session is another connection's now: what this one is told would not be true for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session was taken over")]
pub struct TakenOver;

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
    /// The store takes nothing for now.
    StoreFull,
}

impl<E: Engine> Core<E> {
    /// Subscribes; answer when the position is durable.
    pub fn subscribe(
        &self,
        handle: &SessionHandle,
        wanted: &[(Pattern, SubscribeOptions)],
    ) -> (Vec<Subscribed>, Option<Position>) {
        let session = &handle.session;
        let Ok(mut stage) = session.is_durable().then(|| self.engine.stage()).transpose() else {
            return (vec![Subscribed::StoreFull; wanted.len()], None);
        };
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
    ///
    /// # Errors
    /// [`TakenOver`]: nothing was written.
    pub fn note(&self, handle: &SessionHandle, notes: &[Note<'_>]) -> Result<Option<Position>, TakenOver> {
        if !handle.session.is_durable() || notes.is_empty() {
            return Ok(None);
        }
        let mut stage = self.engine.stage_release();
        // Under the stage no session changes hands.
        if !self.is_current(handle) {
            return Err(TakenOver);
        }
        self.stage_notes(handle, notes, &mut stage);
        Ok(Some(stage.finish()))
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

    /// A session that is to receive with acknowledgements gets its queue, and the queue its consumer.
    pub(super) fn ensure_queue(&self, session: &Session, state: &State) {
        let (id, durable) = (session.id(), session.is_durable());
        let config = self.session_queue_config(durable);
        let new = session
            .set_queue(|| Arc::new(QueueCell::new(id, durable, config, session.vhost().quota(), Now::default())));
        if let (true, Some(cell), Some(mailbox)) = (new, session.queue(), &state.mailbox) {
            // It is empty, so nothing comes of it yet: no effect, no stage.
            cell.inner.lock().attach(mailbox.clone(), state.credit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Core, CoreLimits};
    use crate::fake::FakeEngine;
    use crate::mailbox::{Mailbox, Overflow};
    use crate::session::{Expiry, OpenSession};

    #[test]
    fn whose_session_was_taken_over_is_told_that_nothing_was_noted() {
        let core = Core::new(FakeEngine::default(), CoreLimits::default());
        let mailbox = Mailbox::new(1024, Overflow::default());
        let open = || {
            let open = OpenSession {
                vhost: core.vhost(),
                client: "ann",
                owner: &Arc::from(""),
                clean_start: false,
                expiry: Expiry::Never,
                credit: 2,
                will: None,
                mailbox: &mailbox,
            };
            core.open_session(Now::default(), open).expect("there is room")
        };
        let note = |handle, key: &[u8]| core.note(handle, &[Note::Put { key, value: b"" }]);
        let old = open().handle;
        assert!(note(&old, b"one").is_ok_and(|position| position.is_some()));
        let new = open();
        assert_eq!(note(&old, b"two"), Err(TakenOver));
        assert!(note(&new.handle, b"three").is_ok());
        let kept: Vec<Bytes> = open().record.into_iter().map(|(key, _)| key).collect();
        assert_eq!(kept, [&b"one"[..], b"three"]);
    }
}
