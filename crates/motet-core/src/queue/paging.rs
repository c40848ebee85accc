//! A deep durable queue keeps its head and its tail in memory; the middle is on disk.
//!
//! ```text
//!  head ............ begin ........................ end ............ tail
//!  │ resident: about │ paged out, 16-24 bytes each │ resident: what │
//!  │ half the window │ read ahead moves `begin` ─▶ │ arrived last   │
//! ```
//!
//! Two fingers move only forward, so each message is paged out at most once and read ahead at most once. Neither is needed for
//! correctness: a paged message that reaches the head early (by priority, or because it came back) is taken as `Paged`.

use super::effect::{Effect, Effects};
use super::slot::State;
use super::{Handle, Queue};

/// Messages asked for in one `NeedRead` at most.
const READ_BATCH: usize = 256;
/// Messages one call looks at while paging at most: a long stretch of settled ones is crossed over several calls.
const LOOKS_MAX: u64 = 1_024;

/// The paged middle, `begin..end`, in sequence numbers.
#[derive(Default)]
pub(super) struct Pager {
    /// Everything before was read ahead, or was never paged out.
    pub(super) begin: u64,
    /// Everything from here on is as it arrived.
    pub(super) end: u64,
    /// Reads that were asked for and are not loaded yet.
    loading: u64,
    /// A message has come in front of one that consumers may have stopped at until it is read.
    overtaken: bool,
}

impl Pager {
    pub(super) fn is_loading(&self) -> bool {
        self.loading > 0
    }
}

impl<M: Handle> Queue<M> {
    pub(super) fn over_window(&self) -> bool {
        self.stats.resident > self.config.window.messages || self.stats.resident_bytes > self.config.window.bytes
    }

    /// Messages of the window's half at the present size of messages; at least one.
    fn half_window(&self) -> u64 {
        let average = (self.stats.waiting_bytes / self.stats.waiting().max(1)).max(1);
        let window = self.config.window;
        window.messages.min(window.bytes / average).div_ceil(2).max(1)
    }

    /// Drops bodies from the middle while more than the window is resident.
    pub(super) fn page_out(&mut self) {
        if !self.config.durable || !self.over_window() {
            return;
        }
        let from = match self.levels.head() {
            Some(head) => head.saturating_add(self.half_window()),
            // All of them wait for their time: the oldest give way.
            None if self.stats.delayed > 0 => self.pager.end,
            None => self.entries.next_seq().saturating_add(self.half_window()),
        };
        if self.pager.end < from {
            if self.pager.begin >= self.pager.end {
                self.pager.begin = from;
            }
            self.pager.end = from;
        }
        for _ in 0..LOOKS_MAX {
            if self.pager.end >= self.entries.next_seq() || !self.over_window() {
                return;
            }
            let seq = self.pager.end;
            if let Some(slot) = self.entries.slot(seq)
                && matches!(slot.state(), State::Ready | State::Delayed)
                && slot.persistent()
            {
                if slot.locator().is_none() {
                    return; // The journal has not placed it yet; `placed` comes here again.
                }
                self.evict_body(seq);
            }
            self.pager.end += 1;
        }
    }

    /// Asks for the messages about to reach the head, a batch before it is needed.
    pub(super) fn read_ahead(&mut self, fx: &mut Effects<M>) {
        if self.pager.begin >= self.pager.end || self.consumers.count() == 0 {
            return;
        }
        let Some(head) = self.levels.head() else { return };
        let half = self.half_window();
        if self.pager.loading >= half.div_ceil(2) || head.saturating_add(half / 2) < self.pager.begin {
            return;
        }
        self.pager.begin = self.pager.begin.max(head);
        let batch = READ_BATCH.min(half as usize);
        let mut entries = Vec::new();
        for _ in 0..LOOKS_MAX {
            if self.pager.begin >= self.pager.end || entries.len() >= batch {
                break;
            }
            let seq = self.pager.begin;
            self.pager.begin += 1;
            let missing = self.entries.body(seq).is_none();
            if let Some(slot) = self.entries.slot_mut(seq)
                && let Some(locator) = slot.locator()
                && missing
                && slot.state() == State::Ready
            {
                slot.set_loading(true);
                entries.push((seq, locator));
            }
        }
        if !entries.is_empty() {
            self.pager.loading += entries.len() as u64;
            fx.push(Effect::NeedRead { entries });
        }
    }

    /// A message asked for by `NeedRead` was read. One that was taken or settled meanwhile is passed over.
    pub fn loaded(&mut self, seq: u64, message: M, fx: &mut Effects<M>) {
        self.read_ended();
        let resident = self.entries.body(seq).is_some();
        if let Some(slot) = self.entries.slot_mut(seq)
            && slot.loading()
        {
            slot.set_loading(false);
            if slot.state() == State::Ready && !resident {
                let bytes = u64::from(slot.bytes);
                self.entries.put_body(seq, message);
                self.stats.resident += 1;
                self.stats.resident_bytes += bytes;
            }
        }
        self.head_may_go_on(seq, fx);
        self.read_ahead(fx);
    }

    /// The journal has moved the record of an entry. Ignored when the entry is gone.
    pub fn relocated(&mut self, seq: u64, locator: u64) {
        if let Some(slot) = self.entries.slot_mut(seq)
            && slot.locator().is_some()
        {
            slot.locator = locator;
        }
    }

    /// The head is paged and this queue hands out resident bodies only: asks for it and for what follows it, unless that
    /// is under way. What came back to a deep queue is read in batches, like what lies behind it.
    pub(super) fn fetch_head(&mut self, priority: u8, head: u64, fx: &mut Effects<M>) {
        if self.slot(head).loading() {
            return;
        }
        let most = self.half_window().min(READ_BATCH as u64) as usize;
        let mut entries = Vec::new();
        for seq in self.levels.next_of(priority, most) {
            if self.entries.body(seq).is_some() {
                continue;
            }
            if let Some(slot) = self.entries.slot_mut(seq)
                && !slot.loading()
                && let Some(locator) = slot.locator()
            {
                slot.set_loading(true);
                entries.push((seq, locator));
            }
        }
        if !entries.is_empty() {
            self.pager.loading += entries.len() as u64;
            fx.push(Effect::NeedRead { entries });
        }
    }

    /// A message is ready that was not: whoever stopped at a head that is being read has another one to look at now.
    pub(super) fn has_become_ready(&mut self, seq: u64) {
        self.pager.overtaken |= self.pager.loading > 0 && self.config.resident_only && self.levels.head() == Some(seq);
    }

    /// Tells those who stopped at a head that is none any more.
    pub(super) fn wake_overtaken(&mut self, fx: &mut Effects<M>) {
        if std::mem::take(&mut self.pager.overtaken) {
            self.consumers.wake_allotted(fx);
        }
    }

    /// Consumers that stopped in front of `seq` may go on.
    fn head_may_go_on(&mut self, seq: u64, fx: &mut Effects<M>) {
        if self.config.resident_only && self.levels.head().is_none_or(|head| head >= seq) {
            self.consumers.wake_allotted(fx);
        }
    }

    /// A read that `NeedRead` asked for failed: the message stays paged, and is taken as such. A queue that hands out
    /// resident bodies only gives it up when it is at the head. True when it was given up. Its record stays: a disk that
    /// cannot read it now may do so after the next start, and what is damaged is for a repair to judge.
    pub fn load_failed(&mut self, seq: u64, fx: &mut Effects<M>) -> bool {
        self.read_ended();
        if let Some(slot) = self.entries.slot_mut(seq) {
            slot.set_loading(false);
        }
        let mut given_up = false;
        if self.config.resident_only
            && self.levels.head() == Some(seq)
            && let Some(priority) = self.levels.highest()
            && self.pop_ready(priority).is_some()
        {
            self.finish(seq, false, fx);
            given_up = true;
        }
        self.head_may_go_on(seq, fx);
        given_up
    }

    fn read_ended(&mut self) {
        debug_assert!(self.pager.loading > 0, "each read asked for ends once");
        self.pager.loading = self.pager.loading.saturating_sub(1);
    }
}
