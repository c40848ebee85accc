//! Consumers come, and take what was allotted to them.

use super::chunk::Hold;
use super::consumer::{AckMode, ConsumeError, ConsumerOptions};
use super::effect::{Body, ConsumerId, DeadReason, Effect, Effects, Taken};
use super::expiry::SLICE;
use super::slot::State;
use super::{Handle, Queue};

/// How a turn of taking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Taking {
    /// Messages appended to the list.
    pub taken: usize,
    /// The caller's bounds stopped it: there is more, and no `Wake` will say so. Otherwise the next `Wake` will.
    pub more: bool,
    /// So many stale ones stood before the next message that this call did not come to it: ask again.
    pub unfinished: bool,
}

impl<M: Handle> Queue<M> {
    /// Registers a consumer. Unless it is `fetch_only`, it may be woken by this very call.
    pub fn add_consumer(
        &mut self,
        id: ConsumerId,
        options: ConsumerOptions,
        fx: &mut Effects<M>,
    ) -> Result<(), ConsumeError> {
        self.consumers.add(id, options, fx)?;
        self.allot(fx);
        self.read_ahead(fx);
        Ok(())
    }

    /// Changes how many unacked messages a consumer may hold; `None` is unlimited. What was allotted under the old
    /// credit is allotted anew, so a consumer on its way to take may be woken once more. Unknown ids are ignored.
    pub fn set_credit(&mut self, id: ConsumerId, credit: Option<u32>, fx: &mut Effects<M>) {
        if let Some(index) = self.consumers.find(id) {
            self.consumers.set_credit(index, credit);
            self.allot(fx);
        }
    }

    /// The consumer's peer is slow: what was allotted to it goes to the others. It is not woken until `resume`.
    pub fn pause(&mut self, id: ConsumerId, fx: &mut Effects<M>) {
        self.set_paused(id, true, fx);
    }

    /// The consumer takes again.
    pub fn resume(&mut self, id: ConsumerId, fx: &mut Effects<M>) {
        self.set_paused(id, false, fx);
    }

    fn set_paused(&mut self, id: ConsumerId, paused: bool, fx: &mut Effects<M>) {
        if let Some(index) = self.consumers.find(id) {
            self.consumers.set_paused(index, paused);
            self.allot(fx);
        }
    }

    /// Consumers that are registered now (fetch-only and departed ones aside).
    pub fn consumer_count(&self) -> u64 {
        self.consumers.count()
    }

    /// The consumer that receives, in a queue with a single active one.
    pub fn active_consumer(&self) -> Option<ConsumerId> {
        self.consumers.active()
    }

    /// Hands the consumer the head of the queue, up to its allotment and both bounds (one message may exceed `max_bytes`, so that
    /// there is always progress). A body may be `Paged`: the caller reads it, everybody else goes on.
    pub fn take(
        &mut self,
        now_ms: u64,
        id: ConsumerId,
        max_messages: usize,
        max_bytes: usize,
        out: &mut Vec<Taken<M>>,
        fx: &mut Effects<M>,
    ) -> Taking {
        let Some(index) = self.consumers.find(id) else { return Taking::default() };
        let mut taking = Taking::default();
        let (mut bytes, mut left) = (0_usize, SLICE);
        loop {
            if self.consumers.get(index).is_none_or(|consumer| consumer.allotted == 0) {
                self.consumers.took(index);
                self.consumers.allot(self.stats.ready, Some(index), fx);
                if self.consumers.get(index).is_none_or(|consumer| consumer.allotted == 0) {
                    break;
                }
            }
            let head = self.live_head(now_ms, &mut left, fx);
            if left == 0 {
                taking.unfinished = true;
                break;
            }
            let Some((priority, head)) = head else {
                self.consumers.clear_allotment(index);
                break;
            };
            if self.config.resident_only && self.entries.body(head).is_none() {
                self.fetch_head(priority, head, fx);
                break;
            }
            let size = self.slot(head).bytes as usize;
            if taking.taken >= max_messages || (taking.taken > 0 && bytes.saturating_add(size) > max_bytes) {
                taking.more = true;
                break;
            }
            bytes = bytes.saturating_add(size);
            taking.taken += 1;
            out.push(self.lend(index, priority, true, fx));
        }
        self.consumers.took(index);
        if taking.taken > 0 && self.settles_by_taking(index) {
            self.departures.get_or_insert_default().delivered_settled += taking.taken as u64;
        }
        self.read_ahead(fx);
        taking
    }

    /// Fetches one message for a holder that is no consumer (`fetch_only`) or that is: its credit does not matter. // AMQP basic.get
    pub fn get(&mut self, now_ms: u64, id: ConsumerId, fx: &mut Effects<M>) -> Option<Taken<M>> {
        let index = self.consumers.find(id)?;
        self.touch(now_ms);
        let Some((priority, _)) = self.live_head(now_ms, &mut SLICE.clone(), fx) else {
            self.departures.get_or_insert_default().fetched_nothing += 1;
            return None;
        };
        let settled = self.settles_by_taking(index);
        let departures = self.departures.get_or_insert_default();
        match settled {
            true => departures.fetched_settled += 1,
            false => departures.fetched += 1,
        }
        let taken = self.lend(index, priority, false, fx);
        self.read_ahead(fx);
        Some(taken)
    }

    /// All that waits is allotted to others, or nothing waits: a fetch in vain.
    pub fn has_nothing_for(&mut self, id: ConsumerId) -> bool {
        let nothing = self.unclaimed_for(id) == 0;
        if nothing {
            self.departures.get_or_insert_default().fetched_nothing += 1;
        }
        nothing
    }

    fn settles_by_taking(&self, index: u32) -> bool {
        self.consumers.get(index).is_some_and(|consumer| consumer.options.ack == AckMode::Auto)
    }

    /// Whether the next message has to be read first; asks for it if so. For queues that hand out resident bodies only.
    pub fn head_is_away(&mut self, now_ms: u64, fx: &mut Effects<M>) -> bool {
        let Some((priority, head)) = self.live_head(now_ms, &mut SLICE.clone(), fx) else { return false };
        let away = self.entries.body(head).is_none();
        if away {
            self.fetch_head(priority, head, fx);
        }
        away
    }

    /// Discards stale messages before the next one. True when there may be more of them: ask again before `get`.
    pub fn passes_over_stale(&mut self, now_ms: u64, fx: &mut Effects<M>) -> bool {
        let mut left = SLICE;
        self.live_head(now_ms, &mut left, fx);
        left == 0
    }

    fn body_moved_out(&mut self, seq: u64) -> Body<M> {
        match self.evict_body(seq) {
            Some(body) => Body::Resident(body),
            None => self.body(seq),
        }
    }

    /// The next message, after the stale ones before it were discarded, as many as are `left` for this call.
    fn live_head(&mut self, now_ms: u64, left: &mut u64, fx: &mut Effects<M>) -> Option<(u8, u64)> {
        while *left > 0 {
            let priority = self.levels.highest()?;
            let head = self.levels.head_of(priority)?;
            if !self.is_stale(head, now_ms) {
                return Some((priority, head));
            }
            self.pop_ready(priority);
            self.discard(head, DeadReason::Expired, fx);
            *left -= 1;
        }
        None
    }

    /// A message lives through the last millisecond of its time.
    pub(super) fn is_stale(&self, seq: u64, now_ms: u64) -> bool {
        self.stale_after(seq).is_some_and(|at| now_ms > at)
    }

    /// The last millisecond in which a ready message may be delivered; `None` where that has no end.
    pub(super) fn stale_after(&self, seq: u64) -> Option<u64> {
        let stays = self.config.sent_stays && self.entries.slot(seq).is_some_and(|slot| slot.redelivered());
        let promised = self.consumers.count() > 0 && self.entries.slot(seq).is_some_and(|slot| slot.promised());
        self.entries.expires_at(seq).filter(|_| !stays && !promised)
    }

    fn lend(&mut self, index: u32, priority: u8, allotted: bool, fx: &mut Effects<M>) -> Taken<M> {
        let seq = self.pop_ready(priority).expect("the level has a head");
        let slot = *self.slot(seq);
        self.stats.delivered_total += 1;
        self.stats.redelivered_total += u64::from(slot.redelivered());
        let body = match self.consumers.lend(index, seq, allotted) {
            Some(hold) => self.lend_held(seq, hold),
            None => {
                self.stats.acked_total += 1;
                match self.finish(seq, true, fx) {
                    Some(body) => Body::Resident(body),
                    None => Body::Paged(slot.locator().expect("what is not resident can be read")),
                }
            }
        };
        Taken {
            seq,
            body,
            redelivered: slot.redelivered(),
            delivery_count: u32::from(slot.attempts),
            bytes: slot.bytes,
        }
    }

    fn lend_held(&mut self, seq: u64, hold: Hold) -> Body<M> {
        let slot = self.slot_mut(seq);
        slot.set_state(State::Unacked);
        let bytes = u64::from(slot.bytes);
        self.entries.set_hold(seq, hold);
        self.stats.unacked += 1;
        self.stats.unacked_bytes += bytes;
        if self.over_window() && self.slot(seq).locator().is_some() {
            // Memory is short: the consumer has the body now, and should it come back it is read again.
            return self.body_moved_out(seq);
        }
        self.body(seq)
    }

    /// Tells every consumer that the queue is gone.
    pub(super) fn cancel_all(&mut self, fx: &mut Effects<M>) {
        for id in self.consumers.ids() {
            fx.push(Effect::Cancelled(id));
        }
    }
}
