//! What consumers hold is settled in any order, or comes back to its place.

use std::cmp::Reverse;

use super::effect::{ConsumerId, DeadReason, Effect, Effects};
use super::slot::State;
use super::{Handle, Queue};

/// The consumer does not hold this message (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the consumer holds no message {0}")]
pub struct UnknownDelivery(pub u64);

/// What becomes of a message the consumer does not acknowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nack {
    /// It failed and is tried again, after the queue's back-off if there is one.
    Requeue,
    /// It failed and is tried again after this many milliseconds.
    RequeueAfter(u64),
    /// It was never shown to the peer: it returns as if it had not been taken.
    Unsent,
    /// It is refused for good: dead-lettered as `Rejected`, or dropped.
    Reject,
}

/// How a consumer with unacked messages left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// In good order: its messages come back marked as redelivered, and none counts as failed.
    Orderly,
    /// It broke off: the message it held longest counts as failed, for that is the one it was working on; its neighbours do not.
    Broken,
}

impl<M: Handle> Queue<M> {
    /// The message is done.
    pub fn ack(&mut self, consumer: ConsumerId, seq: u64, fx: &mut Effects<M>) -> Result<(), UnknownDelivery> {
        self.holder(consumer, seq)?;
        self.take_back(seq);
        self.stats.acked_total += 1;
        self.finish(seq, true, fx);
        self.allot(fx);
        Ok(())
    }

    /// The message is not done: see [`Nack`].
    pub fn nack(
        &mut self,
        now_ms: u64,
        consumer: ConsumerId,
        seq: u64,
        nack: Nack,
        fx: &mut Effects<M>,
    ) -> Result<(), UnknownDelivery> {
        self.holder(consumer, seq)?;
        self.take_back(seq);
        match nack {
            Nack::Requeue => self.failed(now_ms, seq, None, fx),
            Nack::RequeueAfter(pause_ms) => self.failed(now_ms, seq, Some(pause_ms), fx),
            Nack::Unsent => self.come_back(seq),
            Nack::Reject => self.discard(seq, DeadReason::Rejected, fx),
        }
        match nack {
            Nack::Unsent => self.allot(fx),
            _ => self.have_come_back(fx),
        }
        Ok(())
    }

    /// Everything the consumer holds comes back to its place, and the consumer stays.
    pub fn requeue_all(&mut self, now_ms: u64, consumer: ConsumerId, leaving: Leaving, fx: &mut Effects<M>) -> usize {
        let Some(index) = self.consumers.find(consumer) else { return 0 };
        let returned = self.return_held(now_ms, index, leaving, fx);
        self.have_come_back(fx);
        returned
    }

    /// The consumer leaves; its allotment goes to the others. With `requeue`, what it holds comes back to its place; without, it may
    /// still settle what it holds under its id (AMQP basic.cancel). Returns how many messages came back.
    pub fn remove_consumer(
        &mut self,
        now_ms: u64,
        consumer: ConsumerId,
        requeue: Option<Leaving>,
        fx: &mut Effects<M>,
    ) -> usize {
        let Some(index) = self.consumers.find(consumer) else { return 0 };
        let returned = requeue.map_or(0, |leaving| self.return_held(now_ms, index, leaving, fx));
        if self.consumers.find(consumer).is_some() {
            self.consumers.depart(index, fx);
        }
        self.touch(now_ms);
        self.have_come_back(fx);
        returned
    }

    /// Where too much is there now, the head goes; not what a session owes to its client.
    fn have_come_back(&mut self, fx: &mut Effects<M>) {
        if self.config.sent_stays { self.allot(fx) } else { self.keep_limits(fx) }
    }

    fn return_held(&mut self, now_ms: u64, index: u32, leaving: Leaving, fx: &mut Effects<M>) -> usize {
        let seqs = self.consumers.release_all(index);
        for (nth, seq) in seqs.iter().copied().enumerate() {
            self.unhold(seq);
            if nth == 0 && leaving == Leaving::Broken {
                self.failed(now_ms, seq, None, fx);
            } else {
                self.slot_mut(seq).set_redelivered();
                self.stats.requeued_total += 1;
                self.come_back(seq);
            }
        }
        seqs.len()
    }

    /// The table index of the consumer, if it holds the message.
    fn holder(&self, consumer: ConsumerId, seq: u64) -> Result<u32, UnknownDelivery> {
        let index = self.consumers.find(consumer).ok_or(UnknownDelivery(seq))?;
        let slot = self.entries.slot(seq).ok_or(UnknownDelivery(seq))?;
        if slot.state() != State::Unacked || self.entries.hold(seq).consumer != index {
            return Err(UnknownDelivery(seq));
        }
        Ok(index)
    }

    /// From the consumer's list back into the queue's hands.
    fn take_back(&mut self, seq: u64) {
        let hold = self.entries.hold(seq);
        self.consumers.release(hold, &mut self.entries);
        self.unhold(seq);
    }

    fn unhold(&mut self, seq: u64) {
        debug_assert_eq!(self.slot(seq).state(), State::Unacked, "only unacked messages come back");
        self.stats.unacked -= 1;
        self.stats.unacked_bytes -= u64::from(self.slot(seq).bytes);
    }

    /// One more failed attempt: discarded at the limit, else back after the pause.
    fn failed(&mut self, now_ms: u64, seq: u64, pause_ms: Option<u64>, fx: &mut Effects<M>) {
        let slot = self.slot_mut(seq);
        slot.attempts = slot.attempts.saturating_add(1);
        slot.set_redelivered();
        let attempts = slot.attempts;
        if self.config.delivery_limit.is_some_and(|limit| attempts > limit) {
            return self.discard(seq, DeadReason::DeliveryLimit, fx);
        }
        if self.config.keep_attempts
            && let Some(locator) = self.slot(seq).locator()
        {
            fx.push(Effect::Failed { seq, locator, attempts });
        }
        self.stats.requeued_total += 1;
        match pause_ms.or_else(|| self.config.retry.map(|retry| retry.pause_ms(attempts))) {
            Some(pause_ms) if pause_ms > 0 => self.put_off(seq, now_ms.saturating_add(pause_ms)),
            _ => self.come_back(seq),
        }
    }

    fn put_off(&mut self, seq: u64, due_ms: u64) {
        let slot = self.slot_mut(seq);
        slot.set_state(State::Delayed);
        let bytes = u64::from(slot.bytes);
        self.stats.delayed += 1;
        self.stats.waiting_bytes += bytes;
        self.delayed.push(Reverse((due_ms, seq)));
    }

    /// To its place in its level, by the order key.
    pub(super) fn come_back(&mut self, seq: u64) {
        let slot = self.slot_mut(seq);
        slot.set_state(State::Ready);
        slot.set_promised(false);
        let (bytes, priority) = (u64::from(slot.bytes), slot.priority);
        self.stats.ready += 1;
        self.stats.waiting_bytes += bytes;
        self.levels.push_returned(priority, seq);
        self.has_become_ready(seq);
    }
}
