//! A message comes in: duplicates, limits, its place.

use std::cmp::Reverse;

use super::config::Overflow;
use super::effect::{Body, DeadLetter, DeadReason, Effect, Effects, NewEntry, RejectReason, Verdict};
use super::expiry::SLICE;
use super::slot::{Slot, State};
use super::{Handle, Queue};

impl<M: Handle> Queue<M> {
    /// Offers one message. After `Enqueued`, the caller stages its journal record (if persistent) and reports it by [`placed`](Self::placed).
    pub fn enqueue(&mut self, now_ms: u64, entry: NewEntry<'_, M>, fx: &mut Effects<M>) -> Verdict {
        let verdict = self.admit(now_ms, entry, fx);
        self.settle_in(fx);
        verdict
    }

    /// The journal will keep this message at `locator`. A message that is gone already is ignored.
    pub fn placed(&mut self, seq: u64, locator: u64) {
        if let Some(slot) = self.entries.slot_mut(seq) {
            slot.locator = locator;
        }
        self.page_out();
    }

    fn has_limits(&self) -> bool {
        self.config.max_messages.is_some() || self.config.max_bytes.is_some()
    }

    fn admit(&mut self, now_ms: u64, entry: NewEntry<'_, M>, fx: &mut Effects<M>) -> Verdict {
        if let (Some(dedup), Some(id)) = (&mut self.dedup, entry.dedup_id)
            && dedup.knows(now_ms, id)
        {
            self.stats.duplicate_total += 1;
            return Verdict::Duplicate;
        }
        if self.config.overflow != Overflow::DropHead
            && let Some(reason) = self.refusal(&entry)
        {
            return self.refuse(entry, reason, fx);
        }
        let id = entry.dedup_id;
        let seq = self.append(now_ms, entry);
        if let (Some(dedup), Some(id)) = (&mut self.dedup, id) {
            dedup.remember(now_ms, seq, id);
        }
        Verdict::Enqueued { seq }
    }

    fn append(&mut self, now_ms: u64, entry: NewEntry<'_, M>) -> u64 {
        let priority = entry.priority.min(self.config.max_priority);
        let due = entry.deliver_at_ms.filter(|due| *due > now_ms);
        let state = if due.is_some() { State::Delayed } else { State::Ready };
        let mut slot = Slot::new(state, entry.bytes, priority, entry.persistent && self.config.durable);
        self.stats.persistent_bytes += if slot.persistent() { u64::from(entry.bytes) } else { 0 };
        // The queue's TTL counts from the moment the message may be delivered.
        let ttl_end = self.config.message_ttl_ms.map(|ttl| due.unwrap_or(now_ms).saturating_add(ttl));
        let expires_at = [entry.expires_at_ms, ttl_end].into_iter().flatten().min();
        // A TTL of 0 means "now or never": who has room for it now will be given it, however long that takes.
        let now_or_never = due.is_none() && expires_at.is_some_and(|at| at <= now_ms);
        slot.set_promised(now_or_never && self.consumers.have_room_behind(self.stats.ready));
        let seq = self.entries.push(slot, Some(entry.message), expires_at);
        match due {
            Some(due) => {
                self.delayed.push(Reverse((due, seq)));
                self.stats.delayed += 1;
            }
            None => {
                self.levels.push_fresh(priority, seq);
                self.has_become_ready(seq);
                self.stats.ready += 1;
            }
        }
        self.stats.enqueued_total += 1;
        self.stats.waiting_bytes += u64::from(entry.bytes);
        self.stats.resident += 1;
        self.stats.resident_bytes += u64::from(entry.bytes);
        seq
    }

    /// After messages came in: allot them, then keep the limits, then keep the memory window.
    pub(super) fn settle_in(&mut self, fx: &mut Effects<M>) {
        self.keep_limits(fx);
        self.page_out();
    }

    /// After messages came in or back: what consumers can take is theirs, and of the rest the head goes where it is too much.
    pub(super) fn keep_limits(&mut self, fx: &mut Effects<M>) {
        self.allot(fx);
        // After a limit was lowered there may be millions to drop: they go in slices, as time has them. What comes in
        // meanwhile pushes out as much as it brings.
        let mut left = if self.too_many_move() { 1 } else { SLICE };
        while left > 0 && self.has_excess() && self.drop_head(fx) {
            left -= 1;
        }
        self.trimming = left == 0 && self.has_excess();
    }

    /// Something has to be dropped for the limits.
    pub(super) fn has_excess(&self) -> bool {
        self.config.overflow == Overflow::DropHead && self.has_limits() && self.over_limit(0, 0).is_some()
    }

    /// Which limit `messages` and `bytes` more would break. What is allotted is as good as taken and does not count as waiting.
    fn over_limit(&self, messages: u64, bytes: u64) -> Option<RejectReason> {
        let unclaimed = self.stats.ready.saturating_sub(self.consumers.allotted()) + self.stats.delayed;
        if unclaimed + messages == 0 {
            return None;
        }
        if self.config.max_messages.is_some_and(|max| unclaimed + messages > max) {
            return Some(RejectReason::MaxMessages);
        }
        let over = self.config.max_bytes.is_some_and(|max| self.stats.waiting_bytes + bytes > max);
        over.then_some(RejectReason::MaxBytes)
    }

    /// Whether either bound is used to this many per cent.
    pub fn is_filled_to(&self, percent: u32) -> bool {
        let mark = |max: u64| (u128::from(max) * u128::from(percent) / 100) as u64;
        let unclaimed = self.stats.ready.saturating_sub(self.consumers.allotted()) + self.stats.delayed;
        let waiting_bytes = self.stats.waiting_bytes;
        unclaimed > 0
            && (self.config.max_messages.is_some_and(|max| unclaimed >= mark(max))
                || self.config.max_bytes.is_some_and(|max| waiting_bytes >= mark(max)))
    }

    fn refusal(&self, entry: &NewEntry<'_, M>) -> Option<RejectReason> {
        // A queue for nothing takes nothing, whoever waits.
        if self.config.max_messages == Some(0) {
            return Some(RejectReason::MaxMessages);
        }
        if !self.has_limits() || self.consumers.somebody_free() {
            return None;
        }
        self.over_limit(1, u64::from(entry.bytes))
    }

    fn refuse(&mut self, entry: NewEntry<'_, M>, reason: RejectReason, fx: &mut Effects<M>) -> Verdict {
        self.stats.refused_total += 1;
        if self.config.overflow == Overflow::RejectPublishDlx && self.config.dead_letter {
            fx.push(Effect::DeadLetter(DeadLetter {
                seq: None,
                body: Body::Resident(entry.message),
                reason: DeadReason::MaxLen,
                bytes: entry.bytes,
                delivery_count: 0,
                persistent: entry.persistent && self.config.durable,
            }));
        }
        Verdict::Rejected(reason)
    }

    /// Pushes out the oldest ready message of the lowest priority, or, when all are delayed, the one due first.
    fn drop_head(&mut self, fx: &mut Effects<M>) -> bool {
        let seq = match self.levels.lowest() {
            Some(priority) => self.pop_ready(priority),
            None => self.pop_delayed(),
        };
        if let Some(seq) = seq {
            self.discard(seq, DeadReason::MaxLen, fx);
        }
        seq.is_some()
    }

    /// Takes the head of a level out of it and out of the accounts of waiting messages.
    pub(super) fn pop_ready(&mut self, priority: u8) -> Option<u64> {
        let seq = self.levels.pop(priority)?;
        debug_assert_eq!(self.slot(seq).state(), State::Ready, "levels hold ready messages");
        self.stats.ready -= 1;
        self.stats.waiting_bytes -= u64::from(self.slot(seq).bytes);
        Some(seq)
    }

    /// The same for the delayed message that is due first.
    pub(super) fn pop_delayed(&mut self) -> Option<u64> {
        let Reverse((_, seq)) = self.delayed.pop()?;
        if self.delayed.is_empty() {
            self.delayed.shrink_to(1_024); // A burst of delays must not cost its memory for ever.
        }
        debug_assert_eq!(self.slot(seq).state(), State::Delayed, "the delay heap holds delayed messages");
        self.stats.delayed -= 1;
        self.stats.waiting_bytes -= u64::from(self.slot(seq).bytes);
        Some(seq)
    }
}
