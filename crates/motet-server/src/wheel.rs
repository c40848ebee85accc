//! One coarse timer wheel for all connections: who must be looked at, and when.
//!
//! Nothing is ever cancelled, because an early look is harmless: the driver compares its deadlines with the clock
//! and arms again. Therefore an entry costs 16 bytes and arming one lock of one slot; a million connections are fine.

use motet_core::time::Instant;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Nanoseconds per tick, about 67 ms: a keep-alive is measured in seconds.
const TICK_NANOS: u64 = 1 << 26;
/// Slots of the wheel, about 4.6 minutes; what is due later is passed over once a round.
const SLOTS: u64 = 4096;

/// Something that can be asked to look at its own deadlines.
pub(crate) trait Look: Send + Sync + 'static {
    /// Look now.
    fn look(&self);
}

#[derive(Debug)]
struct Entry<T> {
    tick: u64,
    who: Weak<T>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Box<[Mutex<Vec<Entry<T>>>]>,
    /// The last tick whose slot was emptied; written under that slot's lock.
    done: AtomicU64,
    armed: AtomicUsize,
    /// Wakes the task that turns the wheel when the first entry is armed.
    first: Notify,
}

impl<T: Look> Wheel<T> {
    pub(crate) fn new() -> Self {
        Wheel {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            done: AtomicU64::new(0),
            armed: AtomicUsize::new(0),
            first: Notify::new(),
        }
    }

    /// Asks `who` to look at `at` or up to two ticks later.
    pub(crate) fn arm(&self, at: Instant, who: &Arc<T>) {
        let wanted = at.as_nanos().div_ceil(TICK_NANOS);
        loop {
            let tick = wanted.max(self.done.load(Ordering::Acquire) + 1);
            let mut slot = self.slots[(tick % SLOTS) as usize].lock();
            // The wheel may have passed this slot between the look and the lock.
            if self.done.load(Ordering::Acquire) < tick {
                slot.push(Entry { tick, who: Arc::downgrade(who) });
                break;
            }
        }
        if self.armed.fetch_add(1, Ordering::AcqRel) == 0 {
            self.first.notify_one();
        }
    }

    /// Entries that wait.
    pub(crate) fn armed(&self) -> usize {
        self.armed.load(Ordering::Acquire)
    }

    /// Asks everybody to look whose time has come.
    pub(crate) fn turn(&self, now: Instant) {
        let until = now.as_nanos() / TICK_NANOS;
        let done = self.done.load(Ordering::Acquire);
        // After a long sleep each slot is emptied once, which covers every tick that was slept through.
        let from = (done + 1).max(until.saturating_sub(SLOTS - 1));
        let mut due = Vec::new();
        for tick in from..=until {
            let mut slot = self.slots[(tick % SLOTS) as usize].lock();
            due.extend(slot.extract_if(.., |entry| entry.tick <= until).map(|entry| entry.who));
            if slot.is_empty() && slot.capacity() > 64 {
                slot.shrink_to_fit();
            }
            self.done.store(tick, Ordering::Release);
        }
        self.armed.fetch_sub(due.len(), Ordering::AcqRel);
        for who in due {
            if let Some(who) = who.upgrade() {
                who.look();
            }
        }
    }

    /// Turns the wheel for ever; sleeps without ticking while nothing is armed.
    pub(crate) async fn run(&self, clock: &crate::clock::Clock) {
        loop {
            if self.armed() == 0 {
                self.first.notified().await;
            }
            tokio::time::sleep(std::time::Duration::from_nanos(TICK_NANOS)).await;
            self.turn(clock.now().instant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Look for Counted {
        fn look(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn looks(who: &Arc<Counted>) -> usize {
        who.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_look_comes_when_it_is_due_and_not_before() {
        let (wheel, who) = (Wheel::new(), Arc::new(Counted::default()));
        wheel.arm(at(1000), &who);
        wheel.turn(at(999));
        assert_eq!((looks(&who), wheel.armed()), (0, 1));
        wheel.turn(at(1100));
        assert_eq!((looks(&who), wheel.armed()), (1, 0));
    }

    #[test]
    fn what_is_due_after_more_than_a_round_is_passed_over_until_then() {
        let (wheel, who) = (Wheel::new(), Arc::new(Counted::default()));
        wheel.arm(at(1_000_000), &who);
        for second in 0..1000 {
            wheel.turn(at(second * 1000));
        }
        assert_eq!(looks(&who), 0);
        wheel.turn(at(1_000_100));
        assert_eq!(looks(&who), 1);
    }

    #[test]
    fn a_long_sleep_misses_nobody() {
        let (wheel, who) = (Wheel::new(), Arc::new(Counted::default()));
        for second in 0..600 {
            wheel.arm(at(second * 1000), &who);
        }
        wheel.turn(at(10_000_000));
        assert_eq!((looks(&who), wheel.armed()), (600, 0));
        wheel.arm(at(0), &who);
        wheel.turn(at(10_000_100));
        assert_eq!(looks(&who), 601, "a deadline in the past is due at the next tick");
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (wheel, who) = (Wheel::new(), Arc::new(Counted::default()));
        wheel.arm(at(10), &who);
        drop(who);
        wheel.turn(at(1000));
        assert_eq!(wheel.armed(), 0);
    }
}
