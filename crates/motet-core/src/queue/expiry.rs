//! What time does: messages go stale at the head, delays and pauses end, an unused queue asks to be deleted.
//!
//! A queue has exactly one deadline, the earliest of these. Expiry looks only at the head of each priority, as RabbitMQ's does: a stale
//! message behind a fresh one leaves when it gets there, is never delivered, and costs no timer of its own.
//!
//! What one call does is bounded by [`SLICE`]: the caller holds the queue's lock and perhaps the stage of all queues. The
//! rest is due at once, so that the deadline is then in the past.

use super::effect::{DeadReason, Effect, Effects};
use super::slot::State;
use super::{Handle, Queue};

/// Messages that one call discards, purges or lets return at most.
pub const SLICE: u64 = 1_024;
/// Dead letters on their way beyond which no more leave because of the time: each waits for its body.
const MOVING_MAX: u64 = 4 * SLICE;

impl<M: Handle> Queue<M> {
    /// When [`on_deadline`](Self::on_deadline) has something to do, wall milliseconds. Ask again after every call.
    pub fn next_deadline(&self) -> Option<u64> {
        let stale = self.levels.priorities().filter_map(|priority| {
            let expires_at = self.stale_after(self.levels.head_of(priority)?)?;
            Some(expires_at.saturating_add(1))
        });
        let excess = (self.trimming && self.has_excess()).then_some(0);
        // When too many are on their way, each that arrives asks again.
        let dying = stale.chain(excess).filter(|_| !self.too_many_move());
        let due = self.delayed.peek().map(|entry| entry.0.0);
        dying.chain(due).chain(self.unused_deadline()).min()
    }

    /// Does what is due. Harmless when nothing is.
    pub fn on_deadline(&mut self, now_ms: u64, fx: &mut Effects<M>) {
        self.delays_end(now_ms);
        self.heads_expire(now_ms, fx);
        if self.unused_deadline().is_some_and(|due| due <= now_ms) {
            self.expiry_told = true;
            fx.push(Effect::QueueExpired);
        }
        if self.trimming {
            self.settle_in(fx);
        }
        self.allot(fx);
        self.read_ahead(fx);
    }

    /// More dead letters are on their way than shall be at a time.
    pub(super) fn too_many_move(&self) -> bool {
        self.stats.moving >= MOVING_MAX
    }

    /// When it was last used, in milliseconds since the Unix epoch.
    pub fn last_used_ms(&self) -> u64 {
        self.last_used_ms
    }

    /// Somebody used the queue (a redeclaration, a fetch, a consumer that left): its `expires_ms` starts over.
    pub fn touch(&mut self, now_ms: u64) {
        self.last_used_ms = now_ms;
        self.expiry_told = false;
    }

    fn unused_deadline(&self) -> Option<u64> {
        let unused = self.consumers.count() == 0 && !self.expiry_told;
        self.config.expires_ms.filter(|_| unused).map(|ms| self.last_used_ms.saturating_add(ms))
    }

    /// Each due message returns to its place by the order key.
    fn delays_end(&mut self, now_ms: u64) {
        let mut left = SLICE;
        while left > 0 && self.delayed.peek().is_some_and(|entry| entry.0.0 <= now_ms) {
            left -= 1;
            if let Some(seq) = self.pop_delayed() {
                self.come_back(seq);
            }
        }
    }

    fn heads_expire(&mut self, now_ms: u64, fx: &mut Effects<M>) {
        let mut left = SLICE;
        let mut next = self.levels.highest();
        while let Some(priority) = next {
            while self.levels.head_of(priority).is_some_and(|head| self.is_stale(head, now_ms)) {
                if left == 0 || self.too_many_move() {
                    return;
                }
                left -= 1;
                if let Some(seq) = self.pop_ready(priority) {
                    self.discard(seq, DeadReason::Expired, fx);
                }
            }
            next = self.levels.priorities().find(|lower| *lower < priority);
        }
    }

    /// The dead letter is at its target, or has none, and the batch that brought it there settled it here.
    pub fn moved(&mut self, seq: u64, fx: &mut Effects<M>) {
        if self.is_moving(seq) {
            self.stats.moving -= 1;
            self.finish(seq, false, fx);
        }
    }

    fn is_moving(&self, seq: u64) -> bool {
        self.entries.slot(seq).is_some_and(|slot| slot.state() == State::Moving)
    }
}
