//! What the core does because of the time: expiries, delayed wills, queue deadlines.

use super::Core;
use crate::engine::{Engine, ObjectId};
use crate::queues::{Inner, QueueCell};
use crate::session::{Expiry, Session, State};
use crate::time::{Now, WallMillis};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Who asked to be looked at. A look that finds nothing due is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Due {
    Queue(ObjectId),
    /// The session that an object is, apart from its queue, which is the same object.
    Session(ObjectId),
}

/// When, and of those at the same time, in the order of asking.
type Turn = (u64, u64);

/// One entry at most for each object, so that what is declared and deleted leaves nothing behind.
#[derive(Debug, Default)]
pub(super) struct Timers {
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    by_time: BTreeMap<Turn, Due>,
    by_object: foldhash::HashMap<Due, Turn>,
    /// How many have asked so far.
    count: u64,
}

impl Asked {
    /// The earlier of what it asked for and `at`.
    fn ask(&mut self, at: u64, due: Due) {
        match self.by_object.get(&due) {
            Some(&(known, _)) if known <= at => return,
            Some(later) => self.by_time.remove(later),
            None => None,
        };
        let turn = (at, self.count);
        self.count += 1;
        self.by_time.insert(turn, due);
        self.by_object.insert(due, turn);
    }

    fn forget(&mut self, due: Due) {
        if let Some(turn) = self.by_object.remove(&due) {
            self.by_time.remove(&turn);
        }
    }

    /// The next one of those that asked before there were `count`.
    fn pop_due(&mut self, now: u64, count: u64) -> Option<Due> {
        let (&turn, &due) = self.by_time.first_key_value()?;
        if turn.0 > now || turn.1 >= count {
            return None;
        }
        self.forget(due);
        Some(due)
    }
}

impl Timers {
    pub(super) fn queue_at(&self, at: u64, queue: ObjectId) {
        self.asked.lock().ask(at, Due::Queue(queue));
    }

    fn session_at(&self, at: WallMillis, session: ObjectId) {
        self.asked.lock().ask(at.0, Due::Session(session));
    }

    fn pop_due(&self, now: u64, count: u64) -> Option<Due> {
        self.asked.lock().pop_due(now, count)
    }

    /// The object is gone: nobody looks at it any more.
    pub(super) fn forget(&self, object: ObjectId) {
        let mut asked = self.asked.lock();
        asked.forget(Due::Queue(object));
        asked.forget(Due::Session(object));
    }
}

impl<E: Engine> Core<E> {
    /// When [`Core::on_time`] next has something to do.
    pub fn next_deadline(&self) -> Option<WallMillis> {
        if self.has_mail() {
            return Some(WallMillis(0));
        }
        self.timers.asked.lock().by_time.first_key_value().map(|((at, _), _)| WallMillis(*at))
    }

    /// Does what is due. The driver calls it at the deadline, or on a coarse tick.
    pub fn on_time(&self, now: Now) {
        self.clock.store(now.wall.0, Ordering::Relaxed);
        let asked = self.timers.asked.lock().count;
        while let Some(due) = self.timers.pop_due(now.wall.0, asked) {
            match due {
                Due::Queue(id) => self.queue_due(now, id),
                Due::Session(id) => {
                    if let Some(session) = self.session_of(id) {
                        self.session_due(now, &session);
                    }
                }
            }
        }
        if self.has_mail() {
            self.deliver_delayed(now);
        }
    }

    /// Asks for a turn when the queue next has something to do. Under its lock.
    pub(super) fn arm_queue(&self, cell: &QueueCell, inner: &Inner) {
        // A volatile session's queue ends with its connection; until then what is stale goes when it is taken.
        if (cell.is_durable() || cell.is_named())
            && !inner.gone
            && let Some(at) = inner.next_deadline()
        {
            // Whoever is late already waits behind those who are due now.
            self.timers.queue_at(at.max(self.clock.load(Ordering::Relaxed)), cell.id());
        }
    }

    /// Sets the timer of a session without a connection: for its will or its end, whichever comes first.
    pub(super) fn arm(&self, session: &Session, state: &State) {
        let Some(since) = state.disconnected_at else { return };
        let after = |secs: u32| since.after(Duration::from_secs(secs.into()));
        let will = state.will.as_ref().map(|will| after(will.delay_secs));
        let end = match state.expiry {
            Expiry::After(secs) => Some(after(secs)),
            // It ended with the process, when it is without a connection at all.
            Expiry::WithConnection => Some(since),
            Expiry::Never => None,
        };
        if let Some(at) = will.into_iter().chain(end).min() {
            self.timers.session_at(at, session.id());
        }
    }

    /// The time that was last told: completions bring none.
    pub(super) fn latest(&self) -> Now {
        Now { wall: WallMillis(self.clock.load(Ordering::Relaxed)), ..Now::default() }
    }

    fn queue_due(&self, now: Now, id: ObjectId) {
        let Some(cell) = self.queue(id) else { return };
        let mut stage = cell.needs_stage().then(|| self.engine.stage_release());
        let mut inner = cell.inner.lock();
        if let (Some(part), Some(stage)) = (&mut inner.stream, &mut stage) {
            super::broker::trim(now, &cell, &mut part.stream, stage);
        }
        let Inner { queue, fx, .. } = &mut *inner;
        queue.awake().on_deadline(now.wall.0, fx);
        let mut after = self.carry_out(&cell, &mut inner, stage.as_mut());
        drop(inner);
        self.bury(now, &mut after, stage.as_mut());
        drop(stage);
        self.carry_on(now, after);
    }
}

#[cfg(test)]
mod tests;
