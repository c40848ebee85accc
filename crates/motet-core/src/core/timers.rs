//! What the core does because of the time: expiries, delayed wills, queue deadlines.

use super::Core;
use crate::engine::{Engine, ObjectId};
use crate::queues::Inner;
use crate::session::Session;
use crate::time::{Now, WallMillis};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Who asked to be looked at. A look that finds nothing due is harmless, so nothing is ever cancelled.
#[derive(Debug, Clone)]
enum Due {
    Queue(ObjectId),
    Session(Weak<Session>),
}

#[derive(Debug)]
struct Entry {
    at: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    /// The deadline each queue has asked for, so that a busy queue asks once.
    queues: Mutex<foldhash::HashMap<u64, u64>>,
}

impl Timers {
    pub(super) fn queue_at(&self, at: u64, queue: ObjectId) {
        let mut queues = self.queues.lock();
        match queues.get(&queue.0) {
            Some(&known) if known <= at => return,
            _ => queues.insert(queue.0, at),
        };
        drop(queues);
        self.heap.lock().push(Reverse(Entry { at, due: Due::Queue(queue) }));
    }

    pub(super) fn session_at(&self, at: WallMillis, session: &Arc<Session>) {
        self.heap.lock().push(Reverse(Entry { at: at.0, due: Due::Session(Arc::downgrade(session)) }));
    }

    fn pop_due(&self, now: u64) -> Option<Due> {
        let mut heap = self.heap.lock();
        if heap.peek()?.0.at > now {
            return None;
        }
        let Reverse(entry) = heap.pop()?;
        drop(heap);
        if let Due::Queue(queue) = &entry.due {
            self.queues.lock().remove(&queue.0);
        }
        Some(entry.due)
    }
}

impl<E: Engine> Core<E> {
    /// When [`Core::on_time`] next has something to do.
    pub fn next_deadline(&self) -> Option<WallMillis> {
        if self.has_mail() {
            return Some(WallMillis(0));
        }
        self.timers.heap.lock().peek().map(|Reverse(entry)| WallMillis(entry.at))
    }

    /// Does what is due. The driver calls it at the deadline, or on a coarse tick.
    pub fn on_time(&self, now: Now) {
        self.clock.store(now.wall.0, Ordering::Relaxed);
        while let Some(due) = self.timers.pop_due(now.wall.0) {
            match due {
                Due::Queue(id) => self.queue_due(now, id),
                Due::Session(session) => {
                    if let Some(session) = session.upgrade() {
                        self.session_due(now, &session);
                    }
                }
            }
        }
        if self.has_mail() {
            self.deliver_delayed(now);
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
