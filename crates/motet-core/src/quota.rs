//! How many bytes the queues of a vhost hold, on disk and in memory, and how many they may.
//!
//! ```text
//!  queue, once a call ── charge ─▶ bytes ── beyond the bound ─▶ reached: who publishes is refused, or waits
//!                                    └──── a sixteenth below ─▶ over: who waits is nudged
//! ```
//! A vhost has accounts of its own, so one vhost's load costs the others nothing. A queue that is served promptly does
//! not touch them at all: it settles when what it holds has changed by a grain, when nobody takes from it, when it is
//! empty again, or while a bound is reached.

use crate::mailbox::Mailbox;
use crate::waiters::Waiters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// No bound.
const UNBOUNDED: u64 = u64::MAX;
/// What a queue that somebody takes from may hold uncounted, at most.
const GRAIN_MAX: u64 = 4 << 10;
/// The same in parts of a small bound, so that it is kept closely.
const GRAIN_PARTS: u64 = 256;
/// It is over only this much below the bound, in parts of it, so that it does not flutter.
const SLACK_PARTS: u64 = 16;

/// What a vhost's queues use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of persistent messages in durable queues and streams.
    Disk,
    /// Bytes of messages whose bodies are in memory.
    Memory,
}

impl Resource {
    /// Both.
    pub const ALL: [Resource; 2] = [Resource::Disk, Resource::Memory];

    /// `disk`, `memory`.
    pub fn text(self) -> &'static str {
        match self {
            Resource::Disk => "disk",
            Resource::Memory => "memory",
        }
    }
}

/// Bytes of each resource, in the order of [`Resource::ALL`].
pub type Held = [u64; 2];

/// Alone in its cache line: it is written by every queue of the vhost, what is beside it is only read.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counted(AtomicU64);

#[derive(Debug)]
struct Account {
    bytes: Counted,
    bytes_max: AtomicU64,
    /// Odd while the bound is reached; it grows by one with each change.
    turns: AtomicU64,
}

impl Default for Account {
    fn default() -> Self {
        Account { bytes: Counted::default(), bytes_max: AtomicU64::new(UNBOUNDED), turns: AtomicU64::new(0) }
    }
}

impl Account {
    fn is_reached(&self) -> bool {
        self.turns.load(Ordering::Relaxed) % 2 == 1
    }

    fn wants(&self, reached: bool) -> bool {
        let (bytes, max) = (self.bytes.0.load(Ordering::SeqCst), self.bytes_max.load(Ordering::SeqCst));
        bytes > if reached { max - max / SLACK_PARTS } else { max } && max != UNBOUNDED
    }

    /// Looks until what is said is what is; true when it was reached and is over. Whoever changed the bytes last looks
    /// after that, so that the last word is true.
    fn judge(&self) -> bool {
        let mut ended = false;
        loop {
            let turns = self.turns.load(Ordering::SeqCst);
            let reached = turns % 2 == 1;
            if self.wants(reached) == reached {
                return ended && !reached;
            }
            let turned = self.turns.compare_exchange(turns, turns + 1, Ordering::SeqCst, Ordering::SeqCst);
            ended |= turned.is_ok() && reached;
        }
    }
}

/// See the module's page.
#[derive(Debug, Default)]
pub struct Quota {
    accounts: [Account; 2],
    waiting: Waiters,
}

impl Quota {
    fn account(&self, of: Resource) -> &Account {
        &self.accounts[of as usize]
    }

    /// Bytes that are counted; a little less or more than there are.
    pub fn bytes(&self, of: Resource) -> u64 {
        self.account(of).bytes.0.load(Ordering::Relaxed)
    }

    /// The bound; `None` when there is none.
    pub fn bytes_max(&self, of: Resource) -> Option<u64> {
        Some(self.account(of).bytes_max.load(Ordering::Relaxed)).filter(|max| *max != UNBOUNDED)
    }

    /// The bound is reached: nothing more is taken that would need this.
    pub fn is_reached(&self, of: Resource) -> bool {
        self.account(of).is_reached()
    }

    /// Either is reached. Two loads of what is hardly ever written.
    pub fn is_any_reached(&self) -> bool {
        self.accounts.iter().any(Account::is_reached)
    }

    /// How often the bound was reached.
    pub fn reached_total(&self, of: Resource) -> u64 {
        self.account(of).turns.load(Ordering::Relaxed).div_ceil(2)
    }

    /// `mailbox` is nudged when none is reached any more. False when none is.
    pub fn wait(&self, mailbox: &Arc<Mailbox>) -> bool {
        if !self.is_any_reached() {
            return false;
        }
        self.waiting.add(mailbox);
        // It may have ended before we were in the list.
        self.is_any_reached()
    }

    /// What stands against messages that take room in queues; `persistent` ones take it on the disk too.
    pub(crate) fn refusal(&self, persistent: bool) -> Option<Resource> {
        let against = |of: Resource| self.is_reached(of) && (persistent || of == Resource::Memory);
        Resource::ALL.into_iter().find(|of| against(*of))
    }

    pub(crate) fn set_max(&self, max: [Option<u64>; 2]) {
        for (account, max) in self.accounts.iter().zip(max) {
            account.bytes_max.store(max.unwrap_or(UNBOUNDED), Ordering::SeqCst);
            account.judge();
        }
        self.waiting.nudge();
    }

    /// A queue holds `held` now, `charged` when it last settled. `promptly`: somebody takes from it.
    pub(crate) fn charge(&self, charged: &mut Held, held: Held, promptly: bool) {
        if *charged == held {
            return;
        }
        for ((account, charged), held) in self.accounts.iter().zip(charged).zip(held) {
            let grain = (account.bytes_max.load(Ordering::Relaxed) / GRAIN_PARTS).min(GRAIN_MAX);
            let reached = account.is_reached();
            if held == *charged || (promptly && held > 0 && !reached && held.abs_diff(*charged) < grain) {
                continue;
            }
            if held > *charged {
                account.bytes.0.fetch_add(held - *charged, Ordering::SeqCst);
            } else {
                account.bytes.0.fetch_sub(*charged - held, Ordering::SeqCst);
            }
            *charged = held;
            if account.wants(reached) != reached && account.judge() {
                self.waiting.nudge();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Overflow;

    fn bounded(disk: u64) -> Quota {
        let quota = Quota::default();
        quota.set_max([Some(disk), None]);
        quota
    }

    #[test]
    fn a_bound_is_reached_beyond_itself_and_over_a_sixteenth_below() {
        let (quota, mut charged) = (bounded(1600), [0, 0]);
        quota.charge(&mut charged, [1600, 9], false);
        assert_eq!((quota.is_any_reached(), quota.refusal(true)), (false, None));
        quota.charge(&mut charged, [1601, 9], false);
        assert_eq!((quota.refusal(true), quota.refusal(false)), (Some(Resource::Disk), None));
        quota.charge(&mut charged, [1501, 9], false);
        assert!(quota.is_reached(Resource::Disk), "not yet");
        quota.charge(&mut charged, [1500, 9], false);
        assert!(!quota.is_any_reached());
        assert_eq!((quota.bytes(Resource::Disk), quota.bytes(Resource::Memory)), (1500, 9));
        assert_eq!(quota.reached_total(Resource::Disk), 1);
    }

    #[test]
    fn who_waits_is_nudged_when_there_is_room_or_no_bound_any_more() {
        let (quota, mut charged) = (bounded(10), [0, 0]);
        let mailbox = Mailbox::new(1024, Overflow::default());
        let nudged = || mailbox.poll_ready(std::task::Waker::noop()).is_ready();
        assert!(!quota.wait(&mailbox), "there is nothing to wait for");
        quota.charge(&mut charged, [11, 0], false);
        assert!(quota.wait(&mailbox) && !nudged());
        quota.charge(&mut charged, [9, 0], false);
        assert!(nudged());
        quota.charge(&mut charged, [11, 0], false);
        assert!(quota.wait(&mailbox) && !nudged());
        quota.set_max([None, None]);
        assert!(nudged() && !quota.is_any_reached());
    }

    #[test]
    fn a_queue_that_is_served_settles_in_grains_and_when_it_is_empty() {
        let (quota, mut charged) = (Quota::default(), [0, 0]);
        quota.charge(&mut charged, [GRAIN_MAX - 1, 0], true);
        assert_eq!(quota.bytes(Resource::Disk), 0);
        quota.charge(&mut charged, [GRAIN_MAX, 0], true);
        quota.charge(&mut charged, [1, 0], true);
        assert_eq!(quota.bytes(Resource::Disk), GRAIN_MAX);
        quota.charge(&mut charged, [0, 0], true);
        assert_eq!((quota.bytes(Resource::Disk), charged), (0, [0, 0]));
        quota.charge(&mut charged, [1, 0], false);
        assert_eq!(quota.bytes(Resource::Disk), 1, "nobody takes: to the byte");
    }

    #[test]
    fn many_threads_leave_the_truth_behind() {
        let quota = bounded(100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut charged = [0, 0];
                    for round in 0..2_000 {
                        quota.charge(&mut charged, [if round % 2 == 0 { 60 } else { 0 }, 0], false);
                    }
                });
            }
        });
        assert_eq!((quota.bytes(Resource::Disk), quota.is_any_reached()), (0, false));
    }
}
